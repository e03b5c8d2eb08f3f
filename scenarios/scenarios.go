// Package scenarios is what deskstorm runs, as data: experiments, the k6
// scripts of their load, and the workload profiles that say how a person of a
// kind works at a desktop.
package scenarios

import (
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"strings"
)

// Scripts are the k6 scripts of this folder.
//
//go:embed *.js
var Scripts embed.FS

//go:embed profiles/*.yaml
var profiles embed.FS

//go:embed *.yaml
var experiments embed.FS

// ErrNoExperiment is returned for a shipped experiment that is not there.
var ErrNoExperiment = errors.New("no such experiment")

// ExperimentNames are the names of the shipped experiments, sorted.
func ExperimentNames() []string {
	files, err := fs.Glob(experiments, "*.yaml")
	if err != nil {
		panic(err) // The pattern is a constant.
	}
	for i, f := range files {
		files[i] = strings.TrimSuffix(f, ".yaml")
	}
	return files
}

// Experiment returns the file of a shipped experiment. An unknown name is ErrNoExperiment.
func Experiment(name string) ([]byte, error) {
	text, err := experiments.ReadFile(name + ".yaml")
	if err != nil {
		return nil, fmt.Errorf("%w: %q is neither shipped nor the path of a file; there are %s", ErrNoExperiment, name,
			strings.Join(ExperimentNames(), ", "))
	}
	return text, nil
}
