package folder_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/deskstorm/deskstorm/lab/folder"
)

func TestBoots(t *testing.T) {
	for most, want := range map[int]int{1: 1, 6: 6, 16: 16, 90: 16, 425: 17, 1000: 40, 9000: 100, 18_000: 100} {
		require.Equal(t, want, folder.Share{Max: most}.Boots(), most)
	}
}
