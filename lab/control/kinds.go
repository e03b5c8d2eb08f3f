package control

// kind is a type of faults.
type kind struct {
	name string
	does string
	make func() fault
}

// kinds has a line for each type.
func kinds() []kind {
	return []kind{
		{"api", "requests to OpenStack's APIs fail, wait or hang, by rule", func() fault { return &apiFault{} }},
		{"service.down", "no request to a service is answered", func() fault { return &serviceDown{} }},
		{"host.down", "a compute host is gone: it reports no more, its desktops die, nothing is built there", func() fault { return &hostDown{} }},
		{"host.reboot_without_ports", "a host reboots, and its desktops run again without network", func() fault { return &hostReboot{} }},
		{"compute.lost", "a host, or all, accept servers and never build them: the message is lost", func() fault { return &computeLost{} }},
		{"desktop.kill", "the SPICE servers of desktops die; Nova goes on to say ACTIVE", func() fault { return &desktopKill{} }},
		{"desktop.no_lease", "desktops have no DHCP lease", func() fault { return &noLease{} }},
		{"desktop.lease_stuck", "desktops have a DHCP lease that does not renew", func() fault { return &leaseStuck{} }},
		{"desktop.dead_port", "the network ports of desktops are dead: DOWN, and no lease is renewed", func() fault { return &deadPort{} }},
		{"console.refuse", "requests for the consoles of desktops, or of all, are refused", func() fault { return &consoleRefuse{} }},
		{"tokens.expire", "all tokens issued so far are invalid, and those issued from now on may live shorter", func() fault { return &tokensExpire{} }},
		{"ldap.slow", "each request to the directory takes longer", func() fault { return &ldapSlow{} }},
		{"ldap.down", "the directory refuses connections and has dropped those there were", func() fault { return &ldapDown{} }},
	}
}
