package hypervisor

import (
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"
)

// graphics is the SPICE graphics element of a domain's description, as text and what is needed of it.
type graphics struct {
	start xml.StartElement
	rest  string // what follows the start tag, to the end of the element; empty if it has none

	listen        string // the address that QEMU listens on; empty: all
	port, tlsPort int    // 0: none
}

// findGraphics finds a live domain's SPICE graphics element. libvirt has one at most.
func findGraphics(description string) (graphics, error) {
	decoder := xml.NewDecoder(strings.NewReader(description))
	var path []string
	for {
		token, err := decoder.Token()
		if errors.Is(err, io.EOF) {
			return graphics{}, ErrNoSpice
		}
		if err != nil {
			return graphics{}, fmt.Errorf("reading the domain's description: %w", err)
		}
		switch t := token.(type) {
		case xml.StartElement:
			path = append(path, t.Name.Local)
			if strings.Join(path, "/") == "domain/devices/graphics" && attribute(t, "type") == "spice" {
				return readGraphics(decoder, t.Copy(), description)
			}
		case xml.EndElement:
			path = path[:len(path)-1]
		}
	}
}

// readGraphics reads the element whose start tag the decoder has just read.
func readGraphics(decoder *xml.Decoder, start xml.StartElement, description string) (graphics, error) {
	g := graphics{start: start, listen: attribute(start, "listen")}
	// -1 is libvirt's "none".
	if port, err := strconv.Atoi(attribute(start, "port")); err == nil && port > 0 {
		g.port = port
	}
	if port, err := strconv.Atoi(attribute(start, "tlsPort")); err == nil && port > 0 {
		g.tlsPort = port
	}
	from := decoder.InputOffset()
	for depth := 1; depth > 0; {
		token, err := decoder.Token()
		if err != nil {
			return graphics{}, fmt.Errorf("reading the domain's graphics element: %w", err)
		}
		switch t := token.(type) {
		case xml.StartElement:
			depth++
			if depth == 2 && t.Name.Local == "listen" && g.listen == "" {
				g.listen = attribute(t, "address")
			}
		case xml.EndElement:
			depth--
		}
	}
	g.rest = description[from:decoder.InputOffset()]
	if g.port == 0 && g.tlsPort == 0 {
		return graphics{}, ErrNoSpice // a Unix socket, or no listener at all
	}
	return g, nil
}

// withTicket returns the element with another ticket and expiry. All else stays as it is: libvirt refuses an update that
// changes anything that cannot be changed in a running domain.
func (g graphics) withTicket(ticket string, expires time.Time) string {
	var b strings.Builder
	b.WriteString("<" + g.start.Name.Local)
	for _, a := range g.start.Attr {
		if a.Name.Local != "passwd" && a.Name.Local != "passwdValidTo" {
			writeAttribute(&b, a.Name.Local, a.Value)
		}
	}
	writeAttribute(&b, "passwd", ticket)
	if !expires.IsZero() {
		writeAttribute(&b, "passwdValidTo", expires.UTC().Format("2006-01-02T15:04:05"))
	}
	b.WriteString(">")
	if g.rest == "" { // the start tag was the whole element
		return b.String() + "</" + g.start.Name.Local + ">"
	}
	return b.String() + g.rest
}

func writeAttribute(b *strings.Builder, name, value string) {
	b.WriteString(" " + name + "='")
	_ = xml.EscapeText(b, []byte(value)) // a strings.Builder takes everything
	b.WriteString("'")
}

func attribute(e xml.StartElement, name string) string {
	for _, a := range e.Attr {
		if a.Name.Local == name && a.Name.Space == "" {
			return a.Value
		}
	}
	return ""
}
