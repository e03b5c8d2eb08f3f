package glance

import (
	"bytes"
	"crypto/md5"
	"crypto/sha512"
	"encoding/hex"
	"io"
	"net/http"
	"strconv"
)

// keptData is how many bytes of an image are kept for downloads.
const keptData = 1 << 20

// upload takes an image's data. Meanwhile the image is saving, and queued again if the client breaks off.
func (g *Glance) upload(c *call) {
	if kind := c.Header.Get("Content-Type"); kind != "application/octet-stream" {
		c.fail(&refusal{http.StatusUnsupportedMediaType, "The request media type " + kind + " is not supported by this server.\n", ""})
		return
	}
	begun := g.change(c, noUploads, func(i *image) *refusal {
		switch {
		case i.status != queued:
			return conflict("Image status transition from %s to saving is not allowed", i.status)
		case i.disk == nil && i.container == nil:
			return badRequest("Properties disk_format, container_format must be set prior to saving data.")
		case i.disk == nil:
			return badRequest("Property disk_format must be set prior to saving data.")
		case i.container == nil:
			return badRequest("Property container_format must be set prior to saving data.")
		}
		i.status = saving
		return nil
	})
	if begun == nil {
		return
	}
	g.tell("image.prepare", begun)
	sum, hash, kept := md5.New(), sha512.New(), &head{}
	n, err := io.Copy(io.MultiWriter(sum, hash, kept), c.Body)
	done := g.change(c, noUploads, func(i *image) *refusal {
		if err != nil {
			i.status = queued
			return nil
		}
		checksum, long := hex.EncodeToString(sum.Sum(nil)), hex.EncodeToString(hash.Sum(nil))
		i.status, i.size, i.checksum, i.hash, i.data = active, &n, &checksum, &long, kept.all()
		return nil
	})
	switch {
	case done == nil: // it was deleted meanwhile
	case err != nil:
		g.config.Notifier.Notify("image.localhost", "ERROR", "image.upload", "Data supplied was not valid: the client broke off")
		c.fail(badRequest("The client broke off while it sent the image %s.", done.id))
	default:
		g.tell("image.upload", done)
		g.tell("image.activate", done)
		c.w.WriteHeader(http.StatusNoContent)
	}
}

// head keeps what is written to it, if it is not too much.
type head struct {
	bytes.Buffer
	tooMuch bool
}

func (h *head) Write(p []byte) (int, error) {
	if h.tooMuch = h.tooMuch || h.Len()+len(p) > keptData; !h.tooMuch {
		return h.Buffer.Write(p)
	}
	h.Buffer = bytes.Buffer{}
	return len(p), nil
}

// all is nil for too much.
func (h *head) all() []byte {
	if h.tooMuch {
		return nil
	}
	return append([]byte{}, h.Bytes()...)
}

// download answers 204 for an image without data, as Glance does.
func (g *Glance) download(c *call) {
	i := g.image(c)
	if i == nil {
		return
	}
	if i.data == nil {
		c.w.WriteHeader(http.StatusNoContent)
		return
	}
	h := c.w.Header()
	h.Set("Content-Type", "application/octet-stream")
	h.Set("Content-Md5", *i.checksum)
	h.Set("Content-Length", strconv.Itoa(len(i.data)))
	_, _ = c.w.Write(i.data) // the client may have gone
}
