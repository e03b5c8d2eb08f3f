package physics

import "time"

// Calibration is the hosts and desktops whose outcomes match a call centre's production and the experiments with real KVM guests;
// docs/lab-physics.md shows what they do, and a test holds it. Each number says where it comes from:
//
//   - production: told by the architect of a cloud of nearly 10,000 Windows desktops on QEMU/KVM and OpenStack
//   - experiment: measured with real guests under KVM in a cgroup, with the figures in docs/lab-physics.md
//   - rule: a published rule of thumb, named there
//   - derived: follows from the others
//   - chosen: nothing known decides it; the outcomes above hold with it
type Calibration struct {
	// Host is a compute node of production with many disks.
	Host Host
	// Slow is the two SATA disks of the extreme boot storm.
	Slow Disk
	// Pooled is a Windows desktop that is made anew for each user, Personal one that keeps its user's programs and files.
	Pooled, Personal Desktop
	// Shift is eight hours in a call centre.
	Shift Profile

	// StormHost and StormGuest are those of the experiment on boot storms: one disk of 100 reads a second, guests that read 300 times.
	StormHost  Host
	StormGuest Desktop
	// MemoryHost and the guests are those of the experiment on overcommit: 1 GiB and no swap, guests of 256 MiB that touch nearly all,
	// with equal pages and with pages that all differ.
	MemoryHost               Host
	EqualGuest, UnequalGuest Desktop
}

// Calibrated is the calibration.
func Calibrated() Calibration {
	c := Calibration{
		Host: Host{
			Memory: 128 << 10, Own: 4 << 10, // chosen: 25 desktops a host (production: 10,000 on several hundred) and room for 1:1.5
			Swap: 2 << 10,                                       // chosen: small, as on hosts of virtual machines
			CPUs: 48,                                            // chosen
			Disk: Disk{IOPS: 1600, Disks: 8, WriteCost: 2},      // rule: a 15,000 rpm disk serves 200 requests a second; 8 in RAID 10
			KSM:  true, ScanRate: 1250 * 4096 / 1048576.0 * 100, // rule: ksmtuned's most, 1250 pages each 10 ms
			FatalKills: 3, FatalWindow: 2 * time.Hour, // chosen; production: too much memory and the host dies
		},
		Slow: Disk{IOPS: 160, Disks: 2, WriteCost: 2}, // rule: a SATA disk serves 80 requests a second; 2 in RAID 1
		Pooled: Desktop{
			VCPUs: 2, Memory: 4 << 10, // chosen: an office desktop
			Overhead:  120,  // chosen: QEMU with SPICE
			Spread:    0.04, // chosen
			Shared:    0.16, // rule: page sharing between desktops is often under 15 % without zero pages
			Rewritten: 0.25, // chosen: so that a working host's share is below that
			Boot: Boot{
				Before: 3 * time.Second, CPU: 5 * time.Second, Spread: 0.1, Share: 1, // chosen
				Requests:   12000,                   // derived: 40 minutes (production) at 0.2 s a request, one at a time
				Depth:      1,                       // derived: the same
				RequestCPU: 1670 * time.Microsecond, // derived: 150 requests a second (rule) from a disk that takes 5 ms for one
				Reads:      0.65,                    // rule: 60-70 % reads
				Memory:     0.35,                    // chosen: Windows, nobody logged in
			},
			IOPS: 8, Reads: 0.3, // chosen: a working desktop writes more than it reads
			Touches: 1000,                                                      // chosen: so that swap is felt before it is full
			Reply:   Reply{CPU: 50 * time.Millisecond, Reads: 0.2, Pages: 200}, // chosen
		},
		Shift: Profile{ // chosen: shapes; the end is derived: safe at 1:1.2, dead at 1:1.3 (production)
			{After: 0, Memory: 0.35, Activity: 0.8},                // login: everything starts
			{After: 5 * time.Minute, Memory: 0.50, Activity: 0.55}, // derived: CPU is noticed from 1:2 (production)
			{After: time.Hour, Memory: 0.68, Activity: 0.55},
			{After: 4 * time.Hour, Memory: 0.80, Activity: 0.1}, // lunch: KSM catches up
			{After: 5 * time.Hour, Memory: 0.80, Activity: 0.55},
			{After: 8 * time.Hour, Memory: 0.89, Activity: 0.55}, // the browser has grown all day
		},
		StormHost: Host{
			Memory: 16 << 10,
			CPUs:   0.7, // derived: what two busy cores left; the CPU phases of 16, 4 and 2 guests took 53.7, 12.4 and 5.7 s (experiment)
			Disk:   Disk{IOPS: 100, Disks: 1, WriteCost: 1},
		},
		StormGuest: Desktop{
			VCPUs: 1, Memory: 32, Overhead: 17,
			Boot: Boot{
				Before:   time.Second,     // chosen: writing and syncing its image, starting QEMU
				CPU:      2 * time.Second, // experiment: of QEMU and SeaBIOS
				Spread:   0.03,            // chosen: in the storm all took nearly the same
				Share:    2 / 4.5,         // derived: 5.5 s alone, until the first read
				Requests: 300, Depth: 1, Reads: 1,
				RequestCPU: 2 * time.Millisecond, // derived: a round trip took 160 ms in the storm, the disk 112 of them, 16 shared the CPUs
				Polls:      true,                 // SeaBIOS asks its disk all the time
				Memory:     0.5,
			},
		},
		MemoryHost: Host{
			Memory: 1 << 10, CPUs: 2, Disk: Disk{IOPS: 1000, Disks: 1, WriteCost: 1},
			ScanRate: 20000 * 4096 / 1048576.0 * 50, // experiment: 20,000 pages each 20 ms
		},
		EqualGuest: Desktop{
			VCPUs: 1, Memory: 256,
			Overhead: 2,     // derived: 257 MiB were used a guest without KSM
			Shared:   0.928, // derived: 13.3 MiB were used a guest with equal pages
			Trimmed:  0.024, // derived: 251 MiB a guest with KSM scanning, though pages differed or had been un-merged
			Boot:     Boot{CPU: time.Second, Share: 1, Memory: 1},
		},
	}
	c.Personal = c.Pooled
	c.Personal.Boot.Depth = 425.0 / 150     // rule: 400-450 requests a second beside a pooled one's 150
	c.Personal.Boot.Requests *= 425.0 / 150 // derived: in the same time
	c.UnequalGuest = c.EqualGuest
	c.UnequalGuest.Shared = 0
	return c
}
