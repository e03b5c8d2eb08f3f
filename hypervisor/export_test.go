package hypervisor

// ReadInterfaces reads a domain's description.
var ReadInterfaces = readInterfaces
