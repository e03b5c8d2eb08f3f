package hypervisor

import (
	"errors"
	"testing"

	"github.com/digitalocean/go-libvirt"
	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/deskstorm/deskstorm/hypervisor/qmp"
)

func TestDisksOf(t *testing.T) {
	id := uuid.New()
	number := func(field string, value uint64) libvirt.TypedParam {
		return libvirt.TypedParam{Field: field, Value: *libvirt.NewTypedParamValueUllong(value)}
	}
	count := libvirt.TypedParam{Field: "block.count", Value: *libvirt.NewTypedParamValueUint(1)}
	name := func(field, value string) libvirt.TypedParam {
		return libvirt.TypedParam{Field: field, Value: *libvirt.NewTypedParamValueString(value)}
	}
	for title, c := range map[string]struct {
		params []libvirt.TypedParam
		want   []Disk
	}{
		"nothing": {},
		"all": {
			[]libvirt.TypedParam{
				count, name("block.0.name", "vda"), name("block.0.path", "/vda.img"),
				number("block.0.rd.reqs", 1), number("block.0.rd.bytes", 2), number("block.0.rd.times", 3),
				number("block.0.wr.reqs", 4), number("block.0.wr.bytes", 5), number("block.0.wr.times", 6),
				number("block.0.fl.reqs", 7), number("block.0.fl.times", 8), number("block.0.capacity", 9),
			},
			[]Disk{{Domain: id.String(), Run: 7, Name: "vda", Timed: true, counted: true, BlockCounters: qmp.BlockCounters{
				Reads: 1, ReadBytes: 2, ReadTime: 3, Writes: 4, WrittenBytes: 5, WriteTime: 6, Flushes: 7, FlushTime: 8}}},
		},
		"no times": {
			[]libvirt.TypedParam{name("block.0.name", "vda"), number("block.0.rd.reqs", 1), number("block.0.rd.bytes", 2)},
			[]Disk{{Domain: id.String(), Run: 7, Name: "vda", counted: true, BlockCounters: qmp.BlockCounters{Reads: 1, ReadBytes: 2}}},
		},
		"an empty drive, and two disks": {
			[]libvirt.TypedParam{name("block.0.name", "sda"), name("block.1.name", "vda"), number("block.1.rd.reqs", 1),
				name("block.2.name", "vdb"), number("block.2.rd.reqs", 2)},
			[]Disk{{Domain: id.String(), Run: 7, Name: "vda", counted: true, BlockCounters: qmp.BlockCounters{Reads: 1}},
				{Domain: id.String(), Run: 7, Name: "vdb", counted: true, BlockCounters: qmp.BlockCounters{Reads: 2}}},
		},
		"a QEMU that was not asked": {[]libvirt.TypedParam{count, name("block.0.name", "vda"), name("block.0.path", "/vda.img")}, nil},
		"fields of other shapes": {[]libvirt.TypedParam{name("block.0.rd.reqs", "1"), number("block.0.name", 1), number("", 1),
			number("rd.reqs", 1), {Field: "block.0.rd.reqs"}}, nil},
	} {
		t.Run(title, func(t *testing.T) {
			record := libvirt.DomainStatsRecord{Dom: libvirt.Domain{UUID: libvirt.UUID(id), ID: 7}, Params: c.params}
			require.Equal(t, c.want, disksOf(record))
		})
	}
}

func TestTooOld(t *testing.T) {
	flags := libvirt.Error{Code: uint32(libvirt.ErrInvalidArg), Message: "unsupported flags (0x20000000)"}
	require.ErrorContains(t, tooOld(flags), "libvirt: unsupported flags (0x20000000) (error 8); it needs libvirt 4.5 or later")
	require.NotContains(t, tooOld(libvirt.Error{Code: uint32(libvirt.ErrInternalError), Message: "x"}).Error(), "4.5")
	other := errors.New("another")
	require.Equal(t, other, tooOld(other))
}
