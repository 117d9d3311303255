// The rules that are about shares and times, as figures: the counterpart of conformance.rs beside it.
//
// Each line of the output is `rule TAB what TAB unit TAB figure`; rules and texts are those of the counterpart.
package main

import (
	"fmt"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

const trials = 10_000

func row(rule, what, unit string, figure float64) {
	fmt.Printf("%s\t%s\t%s\t%.4f\n", rule, what, unit, figure)
}

func percent(part int) float64 { return 100 * float64(part) / trials }

func middle(v []float64) float64 {
	slices.Sort(v)
	return v[len(v)/2]
}

func micros(d time.Duration) float64 { return d.Seconds() * 1e6 }

//go:noinline
func spin(n int) {
	for i := range n {
		runtime.KeepAlive(i)
	}
}

func busy(d time.Duration) {
	for start := time.Now(); time.Since(start) < d; {
	}
}

// ---- select

func choices() {
	var c [4]chan struct{}
	for i := range c {
		c[i] = make(chan struct{}, 1)
	}
	first := 0
	for range trials {
		for i := range 2 {
			select {
			case c[i] <- struct{}{}:
			default:
			}
		}
		select {
		case <-c[0]:
			first++
		case <-c[1]:
		case <-c[2]:
		case <-c[3]:
		}
	}
	row("S-02", "two of four cases are ready: share of the first", "%", percent(first))

	a, b := make(chan struct{}), make(chan struct{})
	close(a)
	close(b)
	ofA := 0
	for range trials {
		select {
		case <-a:
			ofA++
		case <-b:
		case <-a:
			ofA++
		case <-a:
			ofA++
		}
	}
	row("S-03", "a channel listed three times against one: its share", "%", percent(ofA))

	data, ended := make(chan struct{}, 1), 0
	for range trials {
		select {
		case data <- struct{}{}:
		default:
		}
		select {
		case <-a:
			ended++
		case <-data:
		}
	}
	row("S-17", "a closed channel against one with data: its share", "%", percent(ended))
}

// ---- the scheduler

func launchOrder() {
	asExpected := 0
	for range 100 {
		var wg sync.WaitGroup
		var mu sync.Mutex
		var order []int
		for i := range 10 {
			wg.Go(func() {
				mu.Lock()
				order = append(order, i)
				mu.Unlock()
			})
		}
		wg.Wait()
		if slices.Equal(order, []int{9, 0, 1, 2, 3, 4, 5, 6, 7, 8}) {
			asExpected++
		}
	}
	row("G-09", "launch 0 to 9, then block: runs in the order 9, 0, 1, … 8", "%", float64(asExpected))
}

type pair struct {
	stop  atomic.Bool
	turns atomic.Uint64
	wg    sync.WaitGroup
}

// Two goroutines that wake each other, with work at each turn.
func newPair(work int) *pair {
	there, back := make(chan struct{}), make(chan struct{})
	p := new(pair)
	p.wg.Go(func() {
		for !p.stop.Load() {
			there <- struct{}{}
			spin(work)
			<-back
			p.turns.Add(1)
		}
		close(there)
	})
	p.wg.Go(func() {
		for range there {
			spin(work)
			back <- struct{}{}
		}
	})
	return p
}

func (p *pair) end() uint64 {
	p.stop.Store(true)
	p.wg.Wait()
	return p.turns.Load()
}

func besideAPair() {
	p := newPair(0)
	var late []float64
	for range 100 {
		start := time.Now()
		time.Sleep(100 * time.Microsecond)
		late = append(late, micros(time.Since(start))-100)
	}
	row("G-12", "a sleep beside a pair that wakes each other: late by", "µs", middle(late))
	start := time.Now()
	for range 50 {
		runtime.Gosched()
	}
	row("G-12", "a yield beside the same pair", "µs", micros(time.Since(start))/50)
	p.end()
}

func heavyAndLight() {
	const length = 300 * time.Millisecond
	alone := func(work int) float64 {
		p, start := newPair(work), time.Now()
		time.Sleep(length)
		turns := p.end() + 1
		return time.Since(start).Seconds() / float64(turns)
	}
	light, heavy := alone(10), alone(10_000)
	a, b := newPair(10), newPair(10_000)
	time.Sleep(length)
	a.stop.Store(true)
	b.stop.Store(true)
	ta, tb := float64(a.end())*light, float64(b.end())*heavy
	row("G-13", "time of a pair with 1000 times the work, over that of the light pair", "×", tb/ta)
}

func respawnChain() {
	var stop atomic.Bool
	var respawn func()
	respawn = func() {
		if !stop.Load() {
			go respawn()
		}
	}
	go respawn()
	start, yields := time.Now(), 0
	for yields < 20 && time.Since(start) < 5*time.Second {
		runtime.Gosched()
		yields++
	}
	row("G-14", "a yield beside a function that only launches itself", "ms", micros(time.Since(start))/1e3/float64(yields))
	stop.Store(true)
}

func besideAHog() {
	var all []float64
	for range 5 {
		c := make(chan float64, 2)
		go func() {
			for start := time.Now(); time.Since(start) < 200*time.Millisecond; {
			}
			c <- 0
		}()
		go func() {
			start := time.Now()
			time.Sleep(time.Millisecond)
			c <- micros(time.Since(start))/1e3 - 1
		}()
		all = append(all, <-c+<-c)
	}
	row("G-11", "a sleep beside a loop that makes no call: late by", "ms", middle(all))
}

// ---- locks, channels, time

func mutexAgainstHogs() {
	var m sync.Mutex
	var stop atomic.Bool
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for !stop.Load() {
				m.Lock()
				busy(100 * time.Microsecond)
				m.Unlock()
			}
		})
	}
	done := make(chan struct{})
	go func() {
		time.Sleep(5 * time.Millisecond)
		start := time.Now()
		var longest time.Duration
		for range 10 {
			t := time.Now()
			m.Lock()
			m.Unlock()
			longest = max(longest, time.Since(t))
			time.Sleep(100 * time.Microsecond)
		}
		row("M-06", "ten locks against four that hold it 100 µs of every 100 µs", "ms", micros(time.Since(start))/1e3)
		row("M-05", "the longest of these waits", "ms", micros(longest)/1e3)
		close(done)
	}()
	<-done
	stop.Store(true)
	wg.Wait()
}

func tickerPhase() {
	start := time.Now()
	t := time.NewTicker(20 * time.Millisecond)
	time.Sleep(110 * time.Millisecond)
	for _, what := range []string{"first", "second", "third"} {
		at := <-t.C
		row("T-13", "20 ms ticker, first read after 110 ms: stamp of the "+what+" tick", "ms", micros(at.Sub(start))/1e3)
	}
	t.Stop()
}

func lateness() {
	var late []float64
	for range 300 {
		start := time.Now()
		time.Sleep(time.Millisecond)
		late = append(late, micros(time.Since(start))-1000)
	}
	slices.Sort(late)
	row("T-01", "a sleep of 1 ms with nothing else to do: late by, median", "µs", late[150])
	row("T-01", "the same, 99 of 100", "µs", late[297])
}

func main() {
	runtime.GOMAXPROCS(1)
	choices()
	launchOrder()
	besideAHog()
	besideAPair()
	heavyAndLight()
	respawnChain()
	runtime.GOMAXPROCS(2)
	mutexAgainstHogs()
	tickerPhase()
	lateness()
}
