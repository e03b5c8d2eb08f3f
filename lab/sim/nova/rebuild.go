package nova

import (
	"context"
	"net/http"
)

func (n *Nova) rebuildServer(c *call, arguments rawJSON) {
	var rebuild struct {
		Image       string `json:"imageRef"`
		Name        *string
		Metadata    map[string]string
		Password    *string `json:"adminPass"`
		Description *string
		Hostname    *string
		Key         *string `json:"key_name"`
		UserData    *string `json:"user_data"`
	}
	properties := []property{
		{"name", name}, {"imageRef", uuidFormat}, {"adminPass", anyText}, {"metadata", metadataItems}, {"preserve_ephemeral", boolean},
		{"OS-DCF:diskConfig", oneOf("AUTO", "MANUAL")}, {"accessIPv4", anyText}, {"accessIPv6", anyText},
	}
	since := func(minor int, p property) {
		if c.atLeast(minor) {
			properties = append(properties, p)
		}
	}
	if !c.atLeast(57) {
		properties = append(properties, property{"personality", anything})
	}
	since(19, property{"description", orNull(text(0, 255), "string")})
	since(54, property{"key_name", orNull(text(1, 255), "string")})
	since(57, property{"user_data", orNull(text(0, 65535), "string")})
	since(63, property{"trusted_image_certificates", anything})
	since(90, property{"hostname", serverHostname})
	if !c.passes("rebuild", arguments, object([]string{"imageRef"}, properties...), &rebuild) {
		return
	}
	password := newPassword()
	if rebuild.Password != nil {
		password = *rebuild.Password
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	s := n.find(c)
	if s == nil {
		return
	}
	if rebuild.Key != nil {
		c.fail(http.StatusBadRequest, "Invalid key_name provided.")
		return
	}
	if s.refusesLocked(c) || !s.ready(c, "rebuild", active, stopped, failed) {
		return
	}
	if c.failed(n.checkImage(rebuild.Image, s.flavor, "Cannot find image for rebuild")) || c.failed(checkMetadata(rebuild.Metadata)) {
		return
	}
	s.image = rebuild.Image
	if rebuild.Name != nil {
		s.name = *rebuild.Name
	}
	if rebuild.Metadata != nil {
		s.metadata = rebuild.Metadata
	}
	if rebuild.Description != nil {
		s.description, s.described = *rebuild.Description, true
	}
	if rebuild.Hostname != nil {
		s.hostname = *rebuild.Hostname
	}
	n.become(s, s.state, rebuilding, fromAPI)
	a, h := n.record(c, s, "rebuild"), s.host
	n.begin(s, func(ctx context.Context, s *server) error {
		n.startEvent(a, "rebuild_server", controller)(nil)
		n.mu.Lock()
		n.say(s, event{name: "rebuild.scheduled", versioned: "rebuild_scheduled", from: fromAPI, binary: "nova-conductor", host: controller})
		n.mu.Unlock()
		return n.onHost(h, a, "compute_rebuild_instance", func(ctx context.Context, s *server) error {
			return n.rebuildOn(ctx, s, a, h)
		})(ctx, s)
	})
	v := n.view(c, s)
	if !c.atLeast(75) {
		v.lessen(s)
		if c.atLeast(54) {
			v.Key = nullText{}
		}
	}
	v.Password = password
	if c.atLeast(57) {
		v.UserData = nullText{}
	}
	if v.extendedView != nil {
		v.extendedView.UserData = nil
	}
	c.w.Header().Set("Location", v.Links[0].Href)
	c.answer(http.StatusAccepted, map[string]any{"server": v})
}

// rebuildOn builds a server anew on a host, which is its own when that is done. One that was stopped is stopped again when it runs.
func (n *Nova) rebuildOn(ctx context.Context, s *server, a *instanceAction, h *host) error {
	say := func(phase string, failure error) {
		n.mu.Lock()
		defer n.mu.Unlock()
		n.say(s, event{name: "rebuild." + phase, from: source{"compute", h.Name}, failure: failure, fixedIPs: phase == "end",
			more: map[string]any{"image_name": n.imageName(s)}})
	}
	n.mu.RLock()
	wasStopped := s.state == stopped
	n.mu.RUnlock()
	say("start", nil)
	n.endDesktop(s)
	n.steps(ctx, s, rebuildingDevices, rebuildingSpawning)
	if err := n.run(ctx, s, h); err != nil {
		if ctx.Err() == nil {
			say("error", err)
		}
		return err
	}
	if wasStopped {
		n.steps(ctx, s, poweringOff)
		end := n.startEvent(a, "compute_stop_instance", h.Name)
		err := n.around("power_off", n.halt)(ctx, s)
		end(err)
		if err != nil {
			return err
		}
	}
	say("end", nil)
	return nil
}
