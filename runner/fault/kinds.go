package fault

// kinds has a line for each fault.
func kinds() []kind {
	return []kind{
		amqpIdleDrop(),
		amqpPartition(),
		apiError(),
		brokerKill(),
		computeDown(),
		desktopsBoot(),
		desktopsReboot(),
		desktopsStop(),
		dhcpDropRenewals(),
		dhcpSharedSocket(),
		hostMemoryPressure(),
		hostRebootOrder(),
		hostStopService(),
		ldapDown(),
		ldapSlow(),
		netBlackhole(),
		netDelay(),
		netLoss(),
		netRate(),
		ovsStalePort(),
	}
}
