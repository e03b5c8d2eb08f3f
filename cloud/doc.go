// Package cloud is what the harness needs of OpenStack: servers with their tags and metadata, where their consoles are, and
// the names of flavors, images and networks. It is a thin layer over gophercloud that adds what a harness owes the cloud that
// it tests: everything it makes carries its owner and its run, a cloud in trouble is not hammered, and no error says a
// password or a token.
//
// Thousands of thin clients log in to the same cloud at once, each as a user of its own. What they have in common - the
// connections, the negotiated microversions, the budget for retries - belongs to the Config, so that a login costs one
// request and little memory.
package cloud
