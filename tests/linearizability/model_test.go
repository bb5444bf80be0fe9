package main

import (
	"testing"
	"time"

	"github.com/anishathalye/porcupine"
)

// Records that no right server can leave must be found, and what only looks odd must not.

type entry struct {
	call, end int64
	in        input
	out       output
}

func ok(out output) output {
	out.Known = true
	if out.Code == "" {
		out.Code = "OK"
	}
	return out
}

var (
	started  = entry{0, 10, input{Op: "start", Request: "r1", Policy: "FAIL"}, ok(output{Run: "A", Started: true})}
	signal1  = entry{20, 30, input{Op: "signal", Request: "1"}, ok(output{})}
	update1  = entry{40, 50, input{Op: "update", Request: "a1"}, ok(output{Place: 1})}
	finished = entry{60, 70, input{Op: "update", Request: "f1"}, ok(output{Place: 2})}
)

func seen(at int64, op, run, status string, elements ...string) entry {
	return entry{at, at + 5, input{Op: op, Acked: []string{"s1"}}, ok(output{Run: run, Status: status, Elements: elements})}
}

func TestDoctoredRecords(t *testing.T) {
	cut := func(e entry) entry { e.end, e.out = never, output{}; return e }
	at := func(e entry, call, end int64) entry { e.call, e.end = call, end; return e }
	cases := []struct {
		name  string
		legal bool
		of    []entry
	}{
		{"as it should be", true, []entry{started, signal1, update1, seen(55, "query", "A", "", "s1", "ua1"), finished,
			seen(80, "history", "A", completed, "s1", "ua1", "uf1"), seen(90, "describe", "A", completed)}},
		{"a lost start", false, []entry{started, {20, 30, input{Op: "describe"}, ok(output{Code: "NotFound"})}}},
		{"a lost signal", false, []entry{started, signal1, finished}},
		{"a query without an acknowledged signal", false, []entry{started, signal1, seen(40, "query", "A", "")}},
		{"a signal twice", false, []entry{started, signal1, seen(40, "query", "A", "", "s1", "s1")}},
		{"a signal that was cut off and is there", true, []entry{started, cut(signal1), seen(40, "query", "A", "", "s1")}},
		{"a signal that was cut off and is not there", true, []entry{started, cut(signal1), seen(40, "query", "A", "")}},
		{"it was there and is gone", false, []entry{started, cut(signal1), seen(40, "query", "A", "", "s1"), seen(50, "query", "A", "")}},
		{"repeated with its request id", true, []entry{started, cut(signal1), at(signal1, 35, 38), seen(40, "query", "A", "", "s1")}},
		{"applied again with its request id", false, []entry{started, cut(signal1), at(signal1, 35, 38), seen(40, "query", "A", "", "s1", "s1")}},
		{"an update in the place of another", false, []entry{started, signal1, update1, entry{60, 70, input{Op: "update", Request: "a2"}, ok(output{Place: 1})}}},
		{"an update before a signal that nobody has seen", true, []entry{started, signal1, {40, 50, input{Op: "update", Request: "a1"}, ok(output{Place: 0})},
			seen(60, "history", "A", running, "ua1", "s1")}},
		{"an update before a signal that was seen", false, []entry{started, signal1, seen(35, "history", "A", running, "s1"),
			{40, 50, input{Op: "update", Request: "a1"}, ok(output{Place: 0})}}},
		{"two open runs", false, []entry{started, {20, 30, input{Op: "start", Request: "r2", Policy: "FAIL"}, ok(output{Run: "B", Started: true})}}},
		{"the same start again", true, []entry{cut(started), at(started, 20, 30)}},
		{"the same start again makes another run", false, []entry{started, {20, 30, input{Op: "start", Request: "r1", Policy: "FAIL"}, ok(output{Run: "B", Started: true})}}},
		{"reuse that was forbidden", false, []entry{started, signal1, update1, finished,
			{80, 90, input{Op: "start", Request: "r2", Reuse: "REJECT_DUPLICATE", Policy: "FAIL"}, ok(output{Run: "B", Started: true})}}},
		{"a stale list", false, []entry{started, {20, 30, input{Op: "list"}, ok(output{})}}},
		{"a list with another status", false, []entry{started, {20, 30, input{Op: "list"}, ok(output{Listed: []listedRun{{"A", ended}}})}}},
		{"a terminated run that is open", false, []entry{started, {20, 30, input{Op: "terminate"}, ok(output{})}, seen(40, "describe", "A", running)}},
		{"a reset that loses what was before its point", false, []entry{started, signal1, seen(35, "history", "A", running, "s1"),
			{40, 50, input{Op: "reset", Run: "A", Prefix: []string{"s1"}}, ok(output{Run: "B"})}, seen(60, "history", "B", running)}},
		{"a reset", true, []entry{started, signal1, seen(35, "history", "A", running, "s1"),
			{40, 50, input{Op: "reset", Run: "A", Prefix: []string{}}, ok(output{Run: "B"})}, seen(60, "history", "B", running),
			{70, 80, input{Op: "list"}, ok(output{Listed: []listedRun{{"B", running}, {"A", ended}}})}}},
		{"a deleted run that is read", false, []entry{started, {20, 30, input{Op: "delete"}, ok(output{})}, seen(40, "describe", "A", running)}},
		{"a run that continued under its old id", false, []entry{started, {20, 30, input{Op: "update", Request: "n1"}, ok(output{})}, seen(40, "describe", "A", running)}},
		{"a run that continued", true, []entry{started, {20, 30, input{Op: "update", Request: "n1"}, ok(output{})}, seen(40, "describe", "B", running)}},
	}
	for _, each := range cases {
		t.Run(each.name, func(t *testing.T) {
			s := &session{}
			for client := range each.of {
				e := each.of[client]
				s.Operations = append(s.Operations, operation{client, e.call, e.end, &e.in, &e.out})
			}
			wanted := porcupine.Illegal
			if each.legal {
				wanted = porcupine.Ok
			}
			if found := porcupine.CheckOperationsTimeout(model, s.forPorcupine(), 10*time.Second); found != wanted {
				t.Errorf("%v, wanted %v", found, wanted)
			}
		})
	}
}
