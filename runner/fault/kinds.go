package fault

// kinds has a line for each fault.
func kinds() []kind {
	return []kind{
		amqpIdleDrop(),
		amqpPartition(),
		apiError(),
		dhcpDropRenewals(),
		netBlackhole(),
		netLoss(),
	}
}
