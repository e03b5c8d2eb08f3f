package cloud

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestClassifyFault(t *testing.T) {
	for message, want := range map[string]FaultClass{
		"No valid host was found. There are not enough hosts available.":                                             FaultNoHost,
		"Exceeded maximum number of retries. Exhausted all hosts available for retrying build failures for instance": FaultNoHost,
		"Build of instance 5b2 aborted: Failed to allocate the network(s), not rescheduling.":                        FaultNetwork,
		"Binding failed for port 77b, please check neutron logs for more information.":                               FaultNetwork,
		"Virtual Interface creation failed":                                                                          FaultNetwork,
		"Quota exceeded for cores, ram: Requested 4, but already used 20 of 20 cores":                                FaultQuota,
		"Timed out waiting for a reply to message ID 2b7":                                                            FaultMessaging,
		"Build of instance 5b2 aborted: Volume 9 did not finish being created even after 60 s":                       FaultVolume,
		"Image 9c1 could not be found.":                                                                              FaultImage,
		"internal error: process exited while connecting to monitor":                                                 FaultHypervisor,
		"Timeout while waiting for the guest":                                                                        FaultTimeout,
		"":                                                                                                           FaultOther,
		"'NoneType' object has no attribute 'foo'":                                                                   FaultOther,
	} {
		require.Equal(t, want, ClassifyFault(message), message)
		require.Contains(t, FaultClasses(), want)
	}
}
