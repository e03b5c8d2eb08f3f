package api

import (
	"maps"

	"github.com/deskstorm/deskstorm/broker/client"
)

var ParseLogin = parseLogin

// Routes lists the API's routes as the mux knows them: "METHOD /path".
func Routes() map[string]bool {
	routes := make(map[string]bool)
	for _, r := range newServer(nil, Config{}).routes() {
		routes[r.method+" "+r.path] = r.operator
	}
	return routes
}

// Statuses is the table of classes.
func Statuses() map[client.Class]int {
	statuses := make(map[client.Class]int)
	for class, k := range maps.All(newServer(nil, Config{}).kinds) {
		statuses[class] = k.status
	}
	return statuses
}
