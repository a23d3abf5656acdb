// SPDX-License-Identifier: Apache-2.0

package harness

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// Attempt is one operation of a load.
type Attempt struct {
	Begin, End time.Time
	Err        error
}

// Load is what happened while operations went on all the time.
type Load []Attempt

// During repeats an operation from some workers, each with a pause between its turns, while event
// runs, and answers every attempt. The operation gets a number that no other attempt has.
func During(workers int, pause time.Duration, operation func(n int) error, event func()) Load {
	var (
		number atomic.Int64
		stop   atomic.Bool
		group  sync.WaitGroup
		lock   sync.Mutex // guards ret
		ret    Load
	)
	for range workers {
		group.Go(func() {
			for !stop.Load() {
				begin := time.Now()
				err := operation(int(number.Add(1)))
				lock.Lock()
				ret = append(ret, Attempt{begin, time.Now(), err})
				lock.Unlock()
				time.Sleep(pause)
			}
		})
	}
	func() {
		defer group.Wait()
		defer stop.Store(true) // also when the event ends the test
		event()
	}()
	return ret
}

// Failures are the attempts that failed.
func (l Load) Failures() Load {
	var ret Load
	for _, a := range l {
		if a.Err != nil {
			ret = append(ret, a)
		}
	}
	return ret
}

// Recovery is how long after a moment the last failing attempt, or one that took longer than
// Patience(time.Second), ended; zero when nothing was noticed.
func (l Load) Recovery(since time.Time) time.Duration {
	var ret time.Duration
	for _, a := range l {
		if a.Err != nil || a.End.Sub(a.Begin) > Patience(time.Second) {
			ret = max(ret, a.End.Sub(since))
		}
	}
	return ret
}

// CheckRecovery fails the test unless all went well before the moment, again from within on, and up
// to the end.
func (l Load) CheckRecovery(t testing.TB, since time.Time, within time.Duration) {
	t.Helper()
	var before, after int
	for _, a := range l {
		switch {
		case a.Err != nil && a.End.Before(since):
			t.Errorf("failed before anything was wrong: %v", a.Err)
		case a.Err == nil && a.End.Before(since):
			before++
		case a.Err == nil && a.Begin.After(since.Add(within)):
			after++
		}
	}
	if before == 0 || after == 0 {
		t.Errorf("%d operations succeeded before, %d after the recovery: too few to tell", before, after)
	}
	failures := l.Failures()
	summary := fmt.Sprintf("%d attempts, %d failed, well again after %v", len(l), len(failures),
		l.Recovery(since).Round(time.Millisecond))
	if len(failures) > 0 {
		summary += fmt.Sprintf("; the last failure: %v", failures[len(failures)-1].Err)
	}
	if l.Recovery(since) > within {
		t.Errorf("%s: not within %v", summary, within)
	} else {
		t.Log(summary)
	}
}
