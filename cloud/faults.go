package cloud

import "strings"

// FaultClass is what kind of fault it was, from what Nova says of a server's or a request's fault: a bounded set for metrics,
// where the text itself names hosts and servers.
type FaultClass string

// The classes of faults.
const (
	FaultNoHost     FaultClass = "no-valid-host"
	FaultQuota      FaultClass = "quota"
	FaultImage      FaultClass = "image"
	FaultNetwork    FaultClass = "network"
	FaultVolume     FaultClass = "volume"
	FaultMessaging  FaultClass = "messaging" // a service did not answer over RabbitMQ
	FaultTimeout    FaultClass = "timeout"
	FaultHypervisor FaultClass = "hypervisor"
	FaultOther      FaultClass = "other"
)

// FaultClasses are all of them.
func FaultClasses() []FaultClass {
	return []FaultClass{FaultNoHost, FaultQuota, FaultImage, FaultNetwork, FaultVolume, FaultMessaging, FaultTimeout, FaultHypervisor, FaultOther}
}

// faultSigns are parts of messages (nova/exception.py, oslo.messaging, libvirt), lower case, the most telling first: "No valid host"
// may name the reason of the last host tried, and a "Build of instance aborted" always does.
var faultSigns = []struct {
	class FaultClass
	signs []string
}{
	{FaultQuota, []string{"quota", "over_quota", "overquota"}},
	{FaultMessaging, []string{"messagingtimeout", "waiting for a reply", "amqp", "messagedeliveryfailure"}},
	{FaultVolume, []string{"volume", "block device", "blockdevice", "cinder"}},
	{FaultNetwork, []string{"network", "port binding", "binding failed", "portbinding", "virtual interface", "neutron", "vif "}},
	{FaultImage, []string{"image", "glance"}},
	{FaultHypervisor, []string{"libvirt", "qemu", "internal error", "hypervisor", "domain"}},
	{FaultNoHost, []string{"no valid host", "novalidhost", "insufficient compute", "not enough host", "maximum number of retries", "no host"}},
	{FaultTimeout, []string{"timed out", "timeout"}},
}

// ClassifyFault finds the class of a message.
func ClassifyFault(message string) FaultClass {
	message = strings.ToLower(message)
	for _, c := range faultSigns {
		for _, sign := range c.signs {
			if strings.Contains(message, sign) {
				return c.class
			}
		}
	}
	return FaultOther
}
