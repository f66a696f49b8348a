// Command readprofile reads a profile with the package that go tool pprof uses, and prints it as
// JSON. It fails if the profile is not valid.
package main

import (
	"encoding/json"
	"log"
	"os"

	"github.com/google/pprof/profile"
)

type frame struct {
	Function, File string
	Line           int64
}

type sample struct {
	Stack  []frame // the innermost first
	Values map[string]int64
	Labels map[string]string
}

func main() {
	log.SetFlags(0)
	file, err := os.Open(os.Args[1])
	if err != nil {
		log.Fatal(err)
	}
	read, err := profile.Parse(file)
	if err != nil {
		log.Fatal(err)
	}
	if err := read.CheckValid(); err != nil {
		log.Fatal(err)
	}
	samples := make([]sample, 0, len(read.Sample))
	for _, each := range read.Sample {
		samples = append(samples, describe(read, each))
	}
	types := make([]string, 0, len(read.SampleType))
	for _, each := range read.SampleType {
		types = append(types, each.Type+"/"+each.Unit)
	}
	document := map[string]any{
		"types":     types,
		"default":   read.DefaultSampleType,
		"period":    read.Period,
		"time":      read.TimeNanos,
		"duration":  read.DurationNanos,
		"comments":  read.Comments,
		"functions": read.HasFunctions() && read.HasFileLines(),
		"samples":   samples,
	}
	if err := json.NewEncoder(os.Stdout).Encode(document); err != nil {
		log.Fatal(err)
	}
}

func describe(in *profile.Profile, from *profile.Sample) sample {
	to := sample{Values: map[string]int64{}, Labels: map[string]string{}}
	for _, location := range from.Location {
		for _, line := range location.Line {
			to.Stack = append(to.Stack, frame{line.Function.Name, line.Function.Filename, line.Line})
		}
	}
	for i, value := range from.Value {
		to.Values[in.SampleType[i].Type] = value
	}
	for key, values := range from.Label {
		if len(values) != 1 {
			log.Fatalf("the label %s has %d values", key, len(values))
		}
		to.Labels[key] = values[0]
	}
	return to
}
