package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/anishathalye/porcupine"
	historypb "go.temporal.io/api/history/v1"
)

// The model of one workflow id: its runs in the order in which they began, each with what its workflow has taken in. It says what
// every operation may answer, and is written from the documents, not from the server.

// What an operation asks for.
type input struct {
	Op      string   `json:"op"`                // the name of the RPC, or what reads by it
	Request string   `json:"request,omitempty"` // the request id, or the update's id
	Reuse   string   `json:"reuse,omitempty"`
	Policy  string   `json:"conflict,omitempty"`
	Run     string   `json:"run,omitempty"`    // of a reset: the run it is of
	Prefix  []string `json:"prefix,omitempty"` // and what that run had taken in before the point of the reset

	Acked []string `json:"acked,omitempty"` // of a query: the signals that had been acknowledged when it was called

	point  int64                     // its number in that history
	events []*historypb.HistoryEvent // what a read of the history saw
}

// What it answered. Nothing is known about a call that was cut off: it may have taken effect, and may still do so later.
type output struct {
	Known    bool        `json:"known"`
	Code     string      `json:"code,omitempty"` // OK, NotFound or AlreadyExists
	Message  string      `json:"message,omitempty"`
	Run      string      `json:"run,omitempty"`
	Started  bool        `json:"started,omitempty"`
	Status   string      `json:"status,omitempty"`
	Elements []string    `json:"elements,omitempty"`
	Place    int         `json:"place,omitempty"` // of an update: how much was taken in before it
	Listed   []listedRun `json:"listed,omitempty"`
}

type listedRun struct {
	Run    string `json:"run"`
	Status string `json:"status"`
}

const (
	running   = "Running"
	completed = "Completed"
	failed    = "Failed"
	ended     = "Terminated"
	continued = "ContinuedAsNew"
)

// One run. Its id is empty until an answer tells it: the call that made the run may have been cut off.
type run struct {
	id         string
	start      string // the request id it was started with; empty when no client knows it
	status     string
	superseded bool // another run followed it, so it is never the current one again
	elements   []string
	told       int // how many of them have been seen in this order, so that nothing can come between any more
}

// States are never changed: a step makes a new one.
type state struct {
	runs []run
	seen []string // all run ids that were ever told

	deleted bool // a run has been
}

func (s *state) current() *run {
	if len(s.runs) == 0 || s.runs[len(s.runs)-1].superseded {
		return nil
	}
	return &s.runs[len(s.runs)-1]
}

// copied is a state whose runs may be changed; their elements are replaced, not changed.
func (s *state) copied() *state {
	return &state{slices.Clone(s.runs), s.seen, s.deleted}
}

// bind says whether this run may be the one that an answer names.
func (s *state) bind(r *run, id string) bool {
	if r.id != "" {
		return r.id == id
	}
	if id == "" || slices.Contains(s.seen, id) {
		return false
	}
	r.id = id
	s.seen = append(slices.Clone(s.seen), id)
	return true
}

func (s *state) begin(r run, id string) bool {
	s.runs = append(s.runs, r)
	return id == "" || s.bind(&s.runs[len(s.runs)-1], id)
}

func take(r *run, element string) {
	r.elements = append(slices.Clone(r.elements), element)
}

// A signal or a request to cancel that comes while a worker has a workflow task is written behind what that task brings: so an
// update may take its place before signals that were acknowledged earlier, unless somebody has seen these in history.
func placesOfUpdate(r *run) (least, most int) {
	least = len(r.elements)
	for least > r.told && r.elements[least-1][0] != 'u' {
		least--
	}
	return least, len(r.elements)
}

func reusable(reuse, status string) bool {
	switch reuse {
	case "REJECT_DUPLICATE":
		return false
	case "ALLOW_DUPLICATE_FAILED_ONLY":
		return status != completed
	}
	return true
}

// step answers the states that may follow: none, if the operation cannot have had this outcome in this state.
func step(s *state, in *input, out *output) []*state {
	if out.Code == "Busy" { // refused, without effect
		return []*state{s}
	}
	if in.Op == "update" {
		return stepUpdate(s, in, out)
	}
	if possible, next := stepOther(s, in, out); possible {
		return []*state{next}
	}
	return nil
}

func stepOther(s *state, in *input, out *output) (bool, *state) {
	next := s.copied()
	current := next.current()
	open := current != nil && current.status == running
	switch in.Op {
	case "start", "signal-with-start":
		return stepStart(next, current, open, in, out), next
	case "signal":
		if !open {
			return refused(out, "NotFound"), s
		}
		if !slices.Contains(current.elements, "s"+in.Request) {
			take(current, "s"+in.Request)
		}
		return accepted(out), next
	case "cancel":
		if current == nil {
			return refused(out, "NotFound"), s
		}
		if open && !slices.Contains(current.elements, "c") {
			take(current, "c")
		}
		return accepted(out), next
	case "terminate":
		if !open {
			return refused(out, "NotFound"), s
		}
		current.status = ended
		return accepted(out), next
	case "delete":
		if current == nil {
			return refused(out, "NotFound"), s
		}
		next.runs = next.runs[:len(next.runs)-1]
		next.deleted = true
		return accepted(out), next
	case "reset":
		return stepReset(next, current, in, out), next
	case "query":
		if current == nil || s.deleted && out.Code == "NotFound" {
			return refused(out, "NotFound"), s // it may have been the run in which the query waited for a worker
		}
		return accepted(out) && stepQuery(next, in, out), next
	case "history", "describe":
		if current == nil {
			return refused(out, "NotFound"), s
		}
		return accepted(out) && stepRead(next, current, in, out), next
	case "list":
		return accepted(out) && stepList(next, out), next
	}
	panic("an operation that the model does not know: " + in.Op)
}

func accepted(out *output) bool             { return !out.Known || out.Code == "OK" }
func refused(out *output, code string) bool { return !out.Known || out.Code == code }

func stepStart(s *state, current *run, open bool, in *input, out *output) bool {
	withSignal := in.Op == "signal-with-start"
	answers := func(r *run, started bool) bool {
		return !out.Known || out.Code == "OK" && s.bind(r, out.Run) && (withSignal || out.Started == started)
	}
	if current != nil && current.start != "" && current.start == in.Request {
		return answers(current, true)
	}
	if open && in.Policy == "USE_EXISTING" {
		if withSignal && !slices.Contains(current.elements, "s"+in.Request) {
			take(current, "s"+in.Request)
		}
		return answers(current, false)
	}
	if open && in.Policy != "TERMINATE_EXISTING" || current != nil && !open && !reusable(in.Reuse, current.status) {
		return !out.Known || out.Code == "AlreadyExists" && s.bind(current, out.Run)
	}
	if open {
		current.status, current.superseded = ended, true
	}
	made := run{start: in.Request, status: running}
	if withSignal {
		made.elements = []string{"s" + in.Request}
	}
	return s.begin(made, "") && answers(&s.runs[len(s.runs)-1], true)
}

// The first letter of an update's id says what its handler does: add, reject, finish, fail, or go on as new.
func stepUpdate(s *state, in *input, out *output) []*state {
	if possible, changes := outcomeOfUpdate(s.current(), in, out); !possible {
		return nil
	} else if !changes {
		return []*state{s}
	}
	var following []*state
	least, most := placesOfUpdate(s.current())
	if kind := in.Request[0]; kind == 'f' || kind == 'x' || kind == 'n' {
		least = most // a workflow does not end with a signal behind its last task
	}
	for place := least; place <= most; place++ {
		if out.Known && out.Place != place {
			continue
		}
		next := s.copied()
		updated := next.current()
		updated.elements = slices.Insert(slices.Clone(updated.elements), place, "u"+in.Request)
		updated.told = place + 1
		switch in.Request[0] {
		case 'f':
			updated.status = completed
		case 'x':
			updated.status = failed
		case 'n':
			updated.status, updated.superseded = continued, true
			next.begin(run{status: running}, "")
		}
		following = append(following, next)
	}
	return following
}

func outcomeOfUpdate(current *run, in *input, out *output) (possible, changes bool) {
	if current != nil {
		if place := slices.Index(current.elements, "u"+in.Request); place >= 0 {
			return !out.Known || out.Code == "OK" && out.Place == place, false
		}
	}
	if out.Known && out.Code == "Aborted" { // the run that it was waiting in has ended first, perhaps followed at once by another
		return true, false
	}
	if current == nil || current.status != running {
		return refused(out, "NotFound"), false
	}
	if in.Request[0] == 'r' {
		return refused(out, "Rejected"), false
	}
	return accepted(out), true
}

// A reset applies nothing again here, so the new run has what the base had taken in before that point.
func stepReset(s *state, current *run, in *input, out *output) bool {
	if current == nil { // nobody knows by what the new run would be followed
		return refused(out, "NotFound")
	}
	base := slices.IndexFunc(s.runs, func(r run) bool { return r.id == in.Run })
	if base < 0 {
		return refused(out, "NotFound")
	}
	start := s.runs[base].start
	if last := &s.runs[len(s.runs)-1]; last.status == running {
		last.status = ended
	}
	s.runs[len(s.runs)-1].superseded = true
	return accepted(out) && s.begin(run{start: start, status: running, elements: in.Prefix, told: len(in.Prefix)}, out.Run)
}

func stepRead(s *state, current *run, in *input, out *output) bool {
	if !out.Known {
		return true
	}
	if !s.bind(current, out.Run) || current.status != out.Status {
		return false
	}
	return in.Op == "describe" || readHistory(current, out.Elements)
}

// What came while a worker has a task is in history when that task is over.
func readHistory(r *run, seen []string) bool {
	if len(seen) < r.told || !isBeginning(seen, r, func(string) bool { return r.status == running }) {
		return false
	}
	r.told = len(seen)
	return true
}

// A query goes to the run that is current when it arrives, and waits for a worker. By the time that one answers another run may
// have followed; the answer is then of the older one. A worker that had a task when a signal came answers without that signal:
// right for a query that came before the signal was acknowledged.
func stepQuery(s *state, in *input, out *output) bool {
	if !out.Known {
		return true
	}
	for at := len(s.runs) - 1; at >= 0; at-- {
		r := &s.runs[at]
		if r.id != out.Run && r.id != "" || !isBeginning(out.Elements, r, func(signal string) bool { return !slices.Contains(in.Acked, signal) }) {
			continue
		}
		r.told = max(r.told, len(out.Elements))
		return s.bind(r, out.Run)
	}
	return false
}

// isBeginning says whether what was seen of a run may be without the rest: signals and a cancel request that may be missing.
func isBeginning(seen []string, r *run, mayMiss func(string) bool) bool {
	if len(seen) > len(r.elements) || !slices.Equal(seen, r.elements[:len(seen)]) {
		return false
	}
	for _, unseen := range r.elements[len(seen):] {
		if unseen[0] == 'u' || !mayMiss(unseen) {
			return false
		}
	}
	return true
}

// A list says the status of each run. Runs whose ids nobody has told yet are matched by number and status; a single one is known
// from then on.
func stepList(s *state, out *output) bool {
	if !out.Known {
		return true
	}
	if len(out.Listed) != len(s.runs) {
		return false
	}
	var strangers []listedRun
	for _, listed := range out.Listed {
		at := slices.IndexFunc(s.runs, func(r run) bool { return r.id == listed.Run })
		if at < 0 {
			strangers = append(strangers, listed)
		} else if s.runs[at].status != listed.Status {
			return false
		}
	}
	var unknown []*run
	for at := range s.runs {
		if s.runs[at].id == "" {
			unknown = append(unknown, &s.runs[at])
		}
	}
	if len(unknown) != len(strangers) {
		return false
	}
	count := map[string]int{}
	for at, r := range unknown {
		count[r.status]++
		count[strangers[at].Status]--
	}
	for _, difference := range count {
		if difference != 0 {
			return false
		}
	}
	return len(unknown) != 1 || s.bind(unknown[0], strangers[0].Run)
}

func equal(a, b any) bool {
	one, other := a.(*state), b.(*state)
	return one.deleted == other.deleted && slices.Equal(one.seen, other.seen) && slices.EqualFunc(one.runs, other.runs, func(a, b run) bool {
		return a.id == b.id && a.start == b.start && a.status == b.status && a.superseded == b.superseded && a.told == b.told &&
			slices.Equal(a.elements, b.elements)
	})
}

func describeState(value any) string {
	var text []string
	for _, r := range value.(*state).runs {
		text = append(text, fmt.Sprintf("%s %s %v", r.id, r.status, r.elements))
	}
	return strings.Join(text, "\n")
}

func describeOperation(in, out any) string {
	asked, answered := in.(*input), out.(*output)
	if !answered.Known {
		return fmt.Sprintf("%s %s: cut off", asked.Op, asked.Request)
	}
	text := fmt.Sprintf("%s %s %s %s %s: %s %s %s %s", asked.Op, asked.Request, asked.Reuse, asked.Policy, asked.Run, answered.Code,
		answered.Message, answered.Run, answered.Status)
	switch asked.Op {
	case "query", "history":
		return fmt.Sprintf("%s %v", text, answered.Elements)
	case "list":
		return fmt.Sprintf("%s %v", text, answered.Listed)
	case "update":
		return fmt.Sprintf("%s at %d", text, answered.Place)
	}
	return text
}

var possibilities = porcupine.NondeterministicModel{
	Init: func() []any { return []any{&state{}} },
	Step: func(s, in, out any) []any {
		var following []any
		for _, next := range step(s.(*state), in.(*input), out.(*output)) {
			following = append(following, next)
		}
		return following
	},
	Equal:             equal,
	DescribeState:     describeState,
	DescribeOperation: describeOperation,
}

var model = possibilities.ToModel()
