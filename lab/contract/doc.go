// Package contract is what a cloud must do for desktops to run on it: a suite of tests in plain gophercloud and go-ldap that
// passes on a real OpenStack Zed, and therefore must on the simulated one (lab/sim with lab/sim/directory). What it expects was
// seen on the real one; where the two differ, the simulation is wrong.
//
// The suite makes a project of its own on the cloud, works there, and removes it with all that is in it, also after a failure:
// it may run again and again, and beside other work. On compute nodes that a Cloud names it disables and enables services, and
// changes allocation ratios for moments.
package contract
