// Package sim is an OpenStack in one process, for tests and demos: Keystone, Nova, Placement, Glance and Neutron behind one
// loopback port, spoken to by any OpenStack client. Its servers are desktops that thin clients can connect to: simulated
// screens (spice/screen), or guests under QEMU (lab/qemu).
//
//	lab, err := sim.Start(ctx, sim.Config{})
//	...
//	defer lab.Close()
//	provider, err := openstack.AuthenticatedClient(ctx, lab.Admin())
//
// The zero Config is a small cloud that works: the flavor "desktop.small", the image "desktop", the network "desktops", four
// hosts, the user admin with password admin. Each service is a package of its own below this one, an http.Handler with its own
// state, and can be used alone; their documentation says what is simpler than in OpenStack. What the lab answers is what the
// real services of release Zed answer, so that a program that works with the lab works with a cloud. With a NotificationURL the
// services send oslo notifications to a RabbitMQ, as in a cloud that is watched.
//
// With Config.Physics the servers run on hardware that runs short (lab/sim/physics): boots share disks, memory runs out, hosts die.
//
// The lab's switches break it on purpose: Inject makes API calls fail, wait or hang by rule, LoseBuilds loses the messages to
// build servers, KillDesktop ends a SPICE server behind Nova's back, RefuseConsoles, ExpireTokens, SetTokenLifetime. Requests
// counts what was asked of it, so that tests can see what a program costs and whether it leaks servers. Package lab/control has
// these switches over HTTP.
//
// Running servers have DHCP leases with Neutron's times, see package lease.
package sim
