// Package undo keeps faults from outliving their run. Every fault is written to a journal, with what ends it, and the disk has that
// before anything is touched. Who ends it is whoever is left:
//
//   - the runner, when the run ends, however it ends, or when the fault's time is over;
//   - the run's watchdog, a process of its own in a session of its own, when the runner has died, or has hung for longer than its
//     lease, or when a fault's time is over;
//   - a machine elsewhere by itself, by a timer that it was left with before the fault, because a fault may cut the way there;
//   - Recover, when all of them have died, as after a power cut.
//
// An undo is idempotent, so that it may be done by more than one of them. They write to the same journal, and a lock a fault keeps
// them from doing it at once.
package undo
