package service

import (
	"github.com/deskstorm/deskstorm/broker/config"
	"github.com/deskstorm/deskstorm/broker/pool"
)

func specs(pools []config.Pool) ([]pool.Spec, error) {
	var all []pool.Spec
	for _, p := range pools {
		s := pool.Spec{
			Name: p.Name, Flavor: p.Flavor, Image: p.Image, Networks: p.Networks, AvailabilityZone: p.AvailabilityZone,
			Ready: p.Ready, Max: p.Max, Boots: p.Boots, Wait: p.Wait, BuildTimeout: p.BuildTimeout, CheckEvery: p.CheckEvery,
			Keep: p.After == config.Keep,
		}
		if p.UserData.Given() {
			text, err := p.UserData.Read()
			if err != nil {
				return nil, err
			}
			s.UserData = []byte(text)
		}
		all = append(all, s)
	}
	return all, nil
}
