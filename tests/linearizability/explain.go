package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/anishathalye/porcupine"
)

// until is what was known at that moment: calls that had not been answered yet are cut off.
func (s *session) until(moment int64) *session {
	known := &session{ID: s.ID}
	for _, each := range s.Operations {
		if each.Call >= moment {
			continue
		}
		if each.Return > moment {
			each.Return, each.Output = never, &output{}
		}
		if each.Output.Known || changes(each.Input) {
			known.Operations = append(known.Operations, each)
		}
	}
	return known
}

// explain prints a history that was left as JSON up to the first answer that no order allows, and what was possible before it.
func explain(to io.Writer, path string) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	s := &session{}
	if err := json.Unmarshal(text, s); err != nil {
		return err
	}
	slices.SortFunc(s.Operations, func(a, b operation) int { return cmp.Compare(a.Return, b.Return) })
	wrong := slices.IndexFunc(s.Operations, func(each operation) bool {
		return porcupine.CheckOperationsTimeout(model, s.until(each.Return).forPorcupine(), 2*time.Second) == porcupine.Illegal
	})
	if wrong < 0 {
		fmt.Fprintln(to, "linearizable")
		return nil
	}
	line := func(each operation) {
		fmt.Fprintf(to, "client %d %8d..%8d us %s\n", each.Client, each.Call/1000, min(each.Return, 1e15)/1000, describeOperation(each.Input, each.Output))
	}
	culprit := s.Operations[wrong]
	s = s.until(culprit.Return - 1)
	_, information := porcupine.CheckOperationsVerbose(model, s.forPorcupine(), 2*time.Second)
	reached := model.Init()
	for _, at := range information.PartialLinearizations()[0][0] {
		line(s.Operations[at])
		_, reached = model.Step(reached, s.Operations[at].Input, s.Operations[at].Output)
		fmt.Fprintln(to, "       ", strings.ReplaceAll(model.DescribeState(reached), "\n", "\n        "))
	}
	fmt.Fprintln(to, "--- that was one possible order; after none this was possible:")
	line(culprit)
	return nil
}
