package folder

import (
	"fmt"

	"github.com/deskstorm/deskstorm/broker/client/openstack"
	"github.com/deskstorm/deskstorm/lab/sim/directory"
)

// User is a person, and where they sit.
type User struct {
	Name, Password, Seat, Site string
}

// Users are a call centre's people, each at a seat of their site.
func Users(n int) []User {
	var all []User
	for i, u := range directory.Callcenter(n).Users {
		site := u.OUs[len(u.OUs)-1]
		all = append(all, User{Name: u.Name, Password: u.Password, Seat: seat(i), Site: site})
	}
	return all
}

// seat is the i-th person's, sites taking turns as package directory has it.
func seat(i int) string { return fmt.Sprintf("N%d-%03d", i%6+1, i/6+1) }

// Desktop is a server that waits for clients without a broker.
type Desktop struct {
	Name     string
	Metadata map[string]string
}

// Desktops are n of them: each second one is a seat's own, the others are idle.
func Desktops(n int) []Desktop {
	var all []Desktop
	for i := range n {
		d := Desktop{fmt.Sprintf("desktop-%04d", i+1), map[string]string{openstack.DesktopKey: openstack.Idle}}
		if i%2 == 0 {
			d.Metadata = map[string]string{openstack.DesktopKey: openstack.Taken, openstack.SeatKey: seat(i)}
		}
		all = append(all, d)
	}
	return all
}
