package up

import (
	"fmt"

	"github.com/deskstorm/deskstorm/broker/client/openstack"
	"github.com/deskstorm/deskstorm/lab/sim"
	"github.com/deskstorm/deskstorm/lab/sim/directory"
)

// User is a person, and where they sit.
type User struct {
	Name, Password, Seat, Site string
}

// users are a call centre's people, each at a seat of their site.
func users(n int) []User {
	var all []User
	for i, u := range directory.Callcenter(n).Users {
		site := u.OUs[len(u.OUs)-1]
		all = append(all, User{Name: u.Name, Password: u.Password, Seat: seat(i), Site: site})
	}
	return all
}

// seat is the i-th person's, sites taking turns as package directory has it.
func seat(i int) string { return fmt.Sprintf("N%d-%03d", i%6+1, i/6+1) }

// seeds are the desktops for clients that ask Nova themselves: each second one is a seat's own, the others are idle.
func seeds(n int) []sim.ServerSeed {
	var all []sim.ServerSeed
	for i := range n {
		s := sim.ServerSeed{Name: fmt.Sprintf("desktop-%04d", i+1), Metadata: map[string]string{openstack.DesktopKey: openstack.Idle}}
		if i%2 == 0 {
			s.Metadata = map[string]string{openstack.DesktopKey: openstack.Taken, openstack.SeatKey: seat(i)}
		}
		all = append(all, s)
	}
	return all
}
