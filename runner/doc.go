// Package runner is the scheduled runner: what carries out experiments on a desktop cloud, each night and by hand, and says in
// the morning whether people can log in and type. Its parts, in the direction in which data flows:
//
//	config      deskstorm.yaml: what may be touched, where results go, when what runs
//	native      the activities that deskstorm adds to the Chaos Toolkit's format: what they are called, and what they take
//	experiment  an experiment's file, in that format, read strictly
//	target      where faults are injected, and the steps that do it, as data
//	fault       the faults, a file each
//	undo        the write-ahead journal of what was injected, the watchdog and the recovery
//	probes      what experiments ask of the cloud, the broker, the networks, the message bus
//	ledger      what a run makes in a cloud, and its removal from anywhere
//	load        load.k6: thin clients by the thousand, their results as aggregates
//	engine      hypothesis, method, rollbacks; the Chaos Toolkit's journal
//	record      what a run leaves behind
//	versions    of what is under test
//	verdict     whether that is good: objectives, last nights, other sites
//	history     the database of runs
//	compare     runs side by side, and by what was under test
//	influx      aggregates for InfluxDB
//	report      for people and for other programs
//	notify      who is told
//	schedule    when what runs
//	serve       all of that as a service, with a page
//
// Production code knows no lab: it speaks to a lab's switches over HTTP, like anybody else.
package runner
