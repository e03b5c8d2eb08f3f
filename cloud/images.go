package cloud

import (
	"context"
	"fmt"
	"net/url"
)

// Image is the ID of the image with exactly this name or ID: ErrNotFound, or ErrAmbiguous, when it is not one.
func (c *Cloud) Image(ctx context.Context, nameOrID string) (id string, err error) {
	type page struct {
		Images []named `json:"images"`
		Next   string  `json:"next"`
	}
	err = c.call(ctx, "looking for image", nameOrID, func(ctx context.Context) error {
		if c.image == nil {
			return fmt.Errorf("%w: the catalog has no image service", ErrNotOffered)
		}
		var err error
		id, err = pickBy(ctx, c.image, "images", nameOrID, url.Values{}, func(p page) ([]named, string, error) {
			return p.Images, p.Next, nil
		})
		return err
	})
	return id, err
}
