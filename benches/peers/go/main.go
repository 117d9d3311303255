// The workloads in Go: the reference every other program is divided by.
// usage: GOMAXPROCS=<workers> peers-go <workload> [name=value ...]   prints one line of JSON
package main

import (
	"fmt"
	"os"
	"runtime"
	"sort"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

var opt = map[string]string{}

func geti(k string, d int) int {
	if s, ok := opt[k]; ok {
		v, err := strconv.Atoi(s)
		if err != nil {
			panic(err)
		}
		return v
	}
	return d
}

func out(w string, n int, ns float64, extra string) {
	if extra != "" {
		extra = "," + extra
	}
	fmt.Printf("{\"peer\":\"go\",\"w\":%q,\"p\":%d,\"n\":%d,\"ns\":%.2f%s}\n", w, runtime.GOMAXPROCS(0), n, ns, extra)
}

func perop(w string, n int, d time.Duration) { out(w, n, float64(d.Nanoseconds())/float64(n), "") }

func cpuNs() int64 {
	var ru syscall.Rusage
	syscall.Getrusage(0, &ru)
	return ru.Utime.Nano() + ru.Stime.Nano()
}

func rssBytes() int {
	b, _ := os.ReadFile("/proc/self/statm")
	f := strings.Fields(string(b))
	v, _ := strconv.Atoi(f[1])
	return v * os.Getpagesize()
}

// Bytes of page tables; a parked goroutine costs these besides its resident memory.
func pageTables() int {
	b, _ := os.ReadFile("/proc/self/status")
	for _, l := range strings.Split(string(b), "\n") {
		if f := strings.Fields(l); len(f) > 1 && f[0] == "VmPTE:" {
			v, _ := strconv.Atoi(f[1])
			return v * 1024
		}
	}
	panic("no VmPTE")
}

// ---- W1 spawn+finish
func w1a(n int) {
	var wg sync.WaitGroup
	t := time.Now()
	wg.Add(n)
	for i := 0; i < n; i++ {
		go func() { wg.Done() }()
	}
	wg.Wait()
	perop("w1a", n, time.Since(t))
}

func w1b(n int) {
	t := time.Now()
	var wg sync.WaitGroup
	for b := 0; b < n/1000; b++ {
		wg.Add(1000)
		for i := 0; i < 1000; i++ {
			go func() { wg.Done() }()
		}
		wg.Wait()
	}
	perop("w1b", n, time.Since(t))
}

// ---- W2 yield
func w2(n int) {
	k := geti("g", 2)
	var wg sync.WaitGroup
	wg.Add(k)
	t := time.Now()
	for g := 0; g < k; g++ {
		go func() {
			for i := 0; i < n/k; i++ {
				runtime.Gosched()
			}
			wg.Done()
		}()
	}
	wg.Wait()
	perop("w2", n, time.Since(t))
}

// For the scaling plots: timed from when all have begun, so that what it costs to start them is left out.
func w2g(n int) {
	g := geti("g", 1000)
	each := n / g
	var wg, gate sync.WaitGroup
	var begun atomic.Int64
	var start time.Time
	wg.Add(g)
	gate.Add(1)
	for i := 0; i < g; i++ {
		go func() {
			if begun.Add(1) == int64(g) {
				gate.Done()
				start = time.Now()
			} else {
				gate.Wait()
			}
			for i := 0; i < each; i++ {
				runtime.Gosched()
			}
			wg.Done()
		}()
	}
	wg.Wait()
	perop("w2g", (each+1)*g, time.Since(start)) // the switches by which all went on from the gate count as well
}

// ---- W3 unbuffered ping-pong
func w3(n int) {
	a, b := make(chan int64), make(chan int64)
	done := make(chan struct{})
	t := time.Now()
	go func() {
		for i := 0; i < n; i++ {
			b <- <-a
		}
		close(done)
	}()
	go func() {
		for i := 0; i < n; i++ {
			a <- int64(i)
			if <-b != int64(i) {
				panic("pong")
			}
		}
	}()
	<-done
	perop("w3", n, time.Since(t))
}

// ---- W4 cap 128
func w4(name string, np, n int) {
	c := make(chan int64, 128)
	var pw, cw sync.WaitGroup
	pw.Add(np)
	cw.Add(np)
	var total int64
	t := time.Now()
	for p := 0; p < np; p++ {
		go func() {
			for i := 0; i < n/np; i++ {
				c <- int64(i)
			}
			pw.Done()
		}()
		go func() {
			var s int64
			for v := range c {
				s += v
			}
			atomic.AddInt64(&total, s)
			cw.Done()
		}()
	}
	pw.Wait()
	close(c)
	cw.Wait()
	d := time.Since(t)
	m := int64(n / np)
	if total != int64(np)*(m*(m-1)/2) {
		panic("bad sum")
	}
	perop(name, n, d)
}

// ---- W5 select
func w5(name string, k, n, capacity int) {
	cs := make([]chan int64, 8)
	for i := range cs {
		cs[i] = make(chan int64, capacity)
	}
	go func() {
		for i := 0; i < n; i++ {
			cs[i%k] <- int64(i)
		}
	}()
	var s int64
	t := time.Now()
	switch k {
	case 2:
		for i := 0; i < n; i++ {
			select {
			case v := <-cs[0]:
				s += v
			case v := <-cs[1]:
				s += v
			}
		}
	case 8:
		for i := 0; i < n; i++ {
			select {
			case v := <-cs[0]:
				s += v
			case v := <-cs[1]:
				s += v
			case v := <-cs[2]:
				s += v
			case v := <-cs[3]:
				s += v
			case v := <-cs[4]:
				s += v
			case v := <-cs[5]:
				s += v
			case v := <-cs[6]:
				s += v
			case v := <-cs[7]:
				s += v
			}
		}
	}
	d := time.Since(t)
	if s != int64(n)*int64(n-1)/2 {
		panic("bad sum")
	}
	perop(fmt.Sprintf("%s%d", name, k), n, d)
}

func w5d(n int) {
	a, b := make(chan int64, 1), make(chan int64, 1)
	miss := 0
	t := time.Now()
	for i := 0; i < n; i++ {
		select {
		case <-a:
		case <-b:
		default:
			miss++
		}
	}
	d := time.Since(t)
	if miss != n {
		panic("hit")
	}
	perop("w5d", n, d)
}

// ---- W6 uncontended
func w6c(n int) {
	c := make(chan int64, 16)
	var s int64
	t := time.Now()
	for i := 0; i < n; i++ {
		c <- int64(i)
		s += <-c
	}
	perop("w6c", n, time.Since(t))
	if s != int64(n)*int64(n-1)/2 {
		panic("bad sum")
	}
}

var gmu sync.Mutex
var gctr int64

func w6m(n int) {
	t := time.Now()
	for i := 0; i < n; i++ {
		gmu.Lock()
		gctr++
		gmu.Unlock()
	}
	perop("w6m", n, time.Since(t))
	if gctr != int64(n) {
		panic("bad count")
	}
}

func w6t(n int) {
	c := make(chan int64, 16)
	miss := 0
	t := time.Now()
	for i := 0; i < n; i++ {
		select {
		case <-c:
		default:
			miss++
		}
	}
	perop("w6t", n, time.Since(t))
	if miss != n {
		panic("hit")
	}
}

// ---- W7 parked goroutines
func w7(n int) {
	runtime.GC()
	r0, t0 := rssBytes(), pageTables()
	c := make(chan int64)
	var started atomic.Int64
	var wg sync.WaitGroup
	wg.Add(n)
	t := time.Now()
	for i := 0; i < n; i++ {
		go func() {
			started.Add(1)
			<-c
			wg.Done()
		}()
	}
	poll := geti("poll", 0) > 0 // a sleep would be most of what a few goroutines take
	for started.Load() < int64(n) {
		if poll {
			runtime.Gosched()
		} else {
			time.Sleep(time.Millisecond)
		}
	}
	spawn := time.Since(t)
	time.Sleep(50 * time.Millisecond)
	r1, t1 := rssBytes(), pageTables()
	t = time.Now()
	close(c)
	wg.Wait()
	wake := time.Since(t)
	out("w7", n, float64(spawn.Nanoseconds())/float64(n),
		fmt.Sprintf("\"rss\":%.1f,\"tables\":%.1f,\"wake_ns\":%.2f", float64(r1-r0)/float64(n), float64(t1-t0)/float64(n), float64(wake.Nanoseconds())/float64(n)))
}

// ---- W8 skynet
func skynet(c chan int64, num, size int64) {
	if size == 1 {
		c <- num
		return
	}
	rc := make(chan int64)
	sub := size / 10
	for i := int64(0); i < 10; i++ {
		go skynet(rc, num+i*sub, sub)
	}
	var s int64
	for i := 0; i < 10; i++ {
		s += <-rc
	}
	c <- s
}

func w8(n int) {
	c := make(chan int64)
	t := time.Now()
	go skynet(c, 0, int64(n))
	s := <-c
	d := time.Since(t)
	if s != int64(n)*int64(n-1)/2 {
		panic("bad skynet")
	}
	out("w8", n, float64(d.Nanoseconds()), "")
}

// ---- W9 prime sieve
func w9(n int) {
	t := time.Now()
	ch := make(chan int64)
	go func(o chan int64) {
		for i := int64(2); ; i++ {
			o <- i
		}
	}(ch)
	var last int64
	for i := 0; i < n; i++ {
		prime := <-ch
		last = prime
		ch1 := make(chan int64)
		go func(in, o chan int64, p int64) {
			for {
				v := <-in
				if v%p != 0 {
					o <- v
				}
			}
		}(ch, ch1, prime)
		ch = ch1
	}
	d := time.Since(t)
	out("w9", n, float64(d.Nanoseconds()), fmt.Sprintf("\"last\":%d", last))
}

// ---- W10 timers
func durations(n int) []int64 {
	durs := make([]int64, n)
	x := uint64(88172645463325252)
	for i := range durs {
		x ^= x << 13
		x ^= x >> 7
		x ^= x << 17
		durs[i] = int64(x % 100000000)
	}
	return durs
}

func w10(n int) {
	durs := durations(n)
	late := make([]int64, n)
	warm := geti("warm", 0) > 0 // stagger first, so that the spawn storm is over before anything is measured
	var wg sync.WaitGroup
	wg.Add(n)
	c0 := cpuNs()
	t := time.Now()
	for i := 0; i < n; i++ {
		go func() {
			if warm {
				time.Sleep(time.Duration(200000000 + durs[n-1-i]))
			}
			t0 := time.Now()
			time.Sleep(time.Duration(durs[i]))
			late[i] = time.Since(t0).Nanoseconds() - durs[i]
			wg.Done()
		}()
	}
	wg.Wait()
	wall := time.Since(t)
	cpu := cpuNs() - c0
	sort.Slice(late, func(a, b int) bool { return late[a] < late[b] })
	out("w10", n, float64(wall.Nanoseconds()), fmt.Sprintf("\"cpu_ns\":%d,\"min\":%d,\"p50\":%d,\"p99\":%d,\"max\":%d", cpu, late[0], late[n/2], late[n*99/100], late[n-1]))
}

// For the scaling plots: one of g pending timers after the other is set anew, in an order without a pattern.
func w10t(n int) {
	g := geti("g", 1000)
	naps := durations(max(g, 1<<16))
	timers := make([]*time.Timer, g)
	for i := range timers {
		timers[i] = time.AfterFunc(time.Hour+time.Duration(naps[i]), func() {})
	}
	t := time.Now()
	for i := 0; i < n; i++ {
		nap := naps[i%len(naps)]
		if !timers[nap%int64(g)].Reset(time.Hour + time.Duration(nap)) {
			panic("an hour has passed")
		}
	}
	perop("w10t", n, time.Since(t))
}

// ---- W12 OS thread (a goroutine locked to its thread) <-> goroutine
func w12p(n int) {
	a, b := make(chan int64, 1), make(chan int64, 1)
	done := make(chan time.Duration)
	go func() {
		for v := range a {
			b <- v
		}
	}()
	go func() {
		runtime.LockOSThread()
		t := time.Now()
		for i := 0; i < n; i++ {
			a <- int64(i)
			if <-b != int64(i) {
				panic("pong")
			}
		}
		done <- time.Since(t)
	}()
	perop("w12p", n, <-done)
}

func w12s(n int) {
	c := make(chan int64, 128)
	done := make(chan int64)
	t := time.Now()
	go func() {
		var s int64
		for v := range c {
			s += v
		}
		done <- s
	}()
	go func() {
		runtime.LockOSThread()
		for i := 0; i < n; i++ {
			c <- int64(i)
		}
		close(c)
	}()
	if <-done != int64(n)*int64(n-1)/2 {
		panic("bad sum")
	}
	perop("w12s", n, time.Since(t))
}

// ---- W13 parallel speed-up
//
//go:noinline
func work(iters int, seed uint64) uint64 {
	x := seed
	for i := 0; i < iters; i++ {
		x = x*6364136223846793005 + 1442695040888963407
	}
	return x
}

func w13(n, iters int) {
	var sink atomic.Uint64
	work(iters*100, 1)
	t := time.Now()
	for i := 0; i < n; i++ {
		sink.Add(work(iters, uint64(i)))
	}
	serial := time.Since(t)
	var wg sync.WaitGroup
	wg.Add(n)
	t = time.Now()
	for i := 0; i < n; i++ {
		go func() {
			sink.Add(work(iters, uint64(i)))
			wg.Done()
		}()
	}
	wg.Wait()
	par := time.Since(t)
	out("w13", n, float64(par.Nanoseconds())/float64(n), fmt.Sprintf("\"serial_ns\":%.1f,\"speedup\":%.4f", float64(serial.Nanoseconds())/float64(n), float64(serial)/float64(par)))
}

func main() {
	w := os.Args[1]
	for _, a := range os.Args[2:] {
		kv := strings.SplitN(a, "=", 2)
		opt[kv[0]] = kv[1]
	}
	switch w {
	case "w1a":
		w1a(geti("n", 1000000))
	case "w1b":
		w1b(geti("n", 1000000))
	case "w2":
		w2(geti("n", 10000000))
	case "w2g":
		w2g(geti("n", 10000000))
	case "w3":
		w3(geti("n", 2000000))
	case "w4s":
		w4("w4s", 1, geti("n", 10000000))
	case "w4m":
		w4("w4m", 4, geti("n", 10000000))
	case "w5u":
		w5("w5u", geti("k", 2), geti("n", 2000000), 0)
	case "w5b":
		w5("w5b", geti("k", 2), geti("n", 4000000), 128)
	case "w5d":
		w5d(geti("n", 50000000))
	case "w6c":
		w6c(geti("n", 20000000))
	case "w6m":
		w6m(geti("n", 50000000))
	case "w6t":
		w6t(geti("n", 100000000))
	case "w7":
		w7(geti("n", 1000000))
	case "w8":
		w8(geti("n", 1000000))
	case "w9":
		w9(geti("n", 2000))
	case "w10":
		w10(geti("n", 100000))
	case "w10t":
		w10t(geti("n", 1000000))
	case "w12p":
		w12p(geti("n", 300000))
	case "w12s":
		w12s(geti("n", 5000000))
	case "w13":
		w13(geti("n", 10000), geti("iters", 12500))
	default:
		panic("unknown " + w)
	}
}
