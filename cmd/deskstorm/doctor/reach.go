package doctor

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"syscall"
	"time"

	"github.com/deskstorm/deskstorm/spice"
	"github.com/deskstorm/deskstorm/spice/wire"
)

// ReachTimeout bounds one attempt to reach a desktop.
const ReachTimeout = 5 * time.Second

// Reach checks that what is called name answers: reach returns nil when it did. Its error is shown and must not hold a
// secret.
func Reach(name string, reach func(ctx context.Context) error) Check {
	return func(ctx context.Context) Result {
		ctx, cancel := context.WithTimeout(ctx, ReachTimeout)
		defer cancel()
		begin := time.Now()
		if err := reach(ctx); err != nil {
			return Result{Check: name, Level: Fail, Found: err.Error(), Advice: unreachedAdvice(err)}
		}
		return Result{Check: name, Found: fmt.Sprintf("answered in %v", time.Since(begin).Round(10*time.Microsecond))}
	}
}

func unreachedAdvice(err error) string {
	var name *net.DNSError
	var network net.Error
	var authority x509.UnknownAuthorityError
	var certificate x509.CertificateInvalidError
	var hostname x509.HostnameError
	switch {
	case errors.As(err, &name):
		return "The name is not known here: check it, and the name servers in /etc/resolv.conf."
	case errors.Is(err, syscall.ECONNREFUSED):
		return "Nothing listens there: the desktop is off, its port has changed (ports are given anew at each start), or\n" +
			"QEMU listens on another address (spice_listen in libvirt's qemu.conf, server_listen in nova.conf)."
	case errors.Is(err, syscall.EHOSTUNREACH), errors.Is(err, syscall.ENETUNREACH):
		return "There is no route from this machine: check with `ip route get`."
	case errors.Is(err, spice.ErrPermissionDenied):
		return "Tickets expire: libvirt's and Nova's are good for seconds to minutes. Take a new one, and check it in\n" +
			"DESKSTORM_TICKET or the .vv file."
	case errors.As(err, &authority), errors.As(err, &certificate), errors.As(err, &hostname):
		return "Give the authority that signed the server's certificate with --ca (on compute nodes usually\n" +
			"/etc/pki/libvirt-spice/ca-cert.pem), and --subject where the certificate does not name the host."
	case errors.Is(err, wire.LinkNeedSecured):
		return "Give the TLS port with --tls-port."
	case errors.Is(err, context.DeadlineExceeded), errors.As(err, &network) && network.Timeout():
		return "No answer: a firewall drops the packets, or the host is down. Allow this machine to reach the SPICE ports\n" +
			"(5900 and up on compute nodes)."
	}
	return ""
}
