package k6process

// Exit codes of k6 that callers decide on (k6's errext/exitcodes).
const (
	ThresholdsFailed = 99
	ExternalAbort    = 105 // SIGINT, SIGTERM
	MarkedAsFailed   = 110 // by the script
)

// Meaning is what an exit code of k6's says, for people; empty for 0 and for codes that k6 does not have.
func Meaning(code int) string {
	switch code {
	case 97:
		return "the cloud's test run failed"
	case 98:
		return "the cloud's test run could not be followed"
	case ThresholdsFailed:
		return "a threshold of the script's failed"
	case 100:
		return "the script's setup took too long"
	case 101:
		return "the script's teardown took too long"
	case 102:
		return "something took too long"
	case 103:
		return "stopped through k6's REST API"
	case 104:
		return "the options make no sense"
	case ExternalAbort:
		return "stopped by a signal"
	case 106:
		return "k6's REST API could not be started"
	case 107:
		return "the script threw an exception, or has a mistake"
	case 108:
		return "the script ended the test itself"
	case 109:
		return "k6 panicked"
	case MarkedAsFailed:
		return "the script marked the test as failed"
	case 255:
		return "k6 could not begin: an unknown option, or a file that cannot be read"
	case -1:
		return "ended by a signal"
	}
	return ""
}
