// Package schedule says when which experiment runs, and starts it then.
//
// What is to happen is decided by functions of the jobs, what is known of them, and the time (Job.After, Decide, board);
// Scheduler is the loop around them. Each occurrence of a job is run once or accounted as skipped with a reason, whatever
// clocks, restarts and other runners do.
package schedule
