package main

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"net"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// The limit program (reference/performance.md §3 and §5): what no broker can do without, and nothing else: receive, CRC32C, pwrite, answer; and, in fsync
// mode, one group-commit flusher; and to consumers, sendfile. It knows the two requests that the load sends and checks only what it must.

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

type limitServer struct {
	dir   string
	fsync bool
	mu    sync.Mutex
	files map[string]*limitFile

	waiting chan struct{} // has room for one: somebody waits for a flush
	pending struct {
		sync.Mutex
		replies []limitReply
		files   map[*limitFile]struct{}
	}
}

type limitFile struct {
	mu   sync.Mutex
	f    *os.File
	size int64
	// Of the first batch, which all others are like.
	batchSize, records int64
	visible            atomic.Int64 // consumers see what lies below
	waiters            []chan struct{}
}

// show lets consumers see up to size, and wakes those that wait.
func (f *limitFile) show(size int64) {
	f.visible.Store(size)
	f.mu.Lock()
	waiters := f.waiters
	f.waiters = nil
	f.mu.Unlock()
	for _, w := range waiters {
		select {
		case w <- struct{}{}:
		default:
		}
	}
}

type limitReply struct {
	conn net.Conn
	data []byte
}

// runLimit serves until its listener fails; the parent ends it by a signal.
func runLimit(addr, dir string, fsync bool) error {
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return err
	}
	s := &limitServer{dir: dir, fsync: fsync, files: map[string]*limitFile{}, waiting: make(chan struct{}, 1)}
	s.pending.files = map[*limitFile]struct{}{}
	if fsync {
		go s.flusher()
	}
	fmt.Println("ready")
	for { // until the parent kills it
		conn, err := l.Accept()
		if err != nil {
			return fmt.Errorf("accept: %w", err)
		}
		go func() {
			defer func() { _ = conn.Close() }()
			if err := s.serve(conn); err != nil {
				fmt.Fprintln(os.Stderr, "limit:", err)
			}
		}()
	}
}

func (s *limitServer) file(name string) (*limitFile, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f := s.files[name]
	if f == nil {
		file, err := os.OpenFile(filepath.Join(s.dir, name), os.O_CREATE|os.O_RDWR|os.O_TRUNC, 0o644)
		if err != nil {
			return nil, err
		}
		f = &limitFile{f: file}
		s.files[name] = f
	}
	return f, nil
}

func (f *limitFile) append(data []byte, show bool) error {
	f.mu.Lock()
	if f.size == 0 {
		f.batchSize = 12 + int64(binary.BigEndian.Uint32(data[8:]))
		f.records = int64(binary.BigEndian.Uint32(data[23:])) + 1
	}
	n, err := f.f.WriteAt(data, f.size)
	f.size += int64(n)
	size := f.size
	f.mu.Unlock()
	if err == nil && show {
		f.show(size)
	}
	return err
}

// limitConn is one connection's state: the files it has written, by topic and partition, and small batches staged for one pwrite.
type limitConn struct {
	s      *limitServer
	conn   net.Conn
	files  map[[2]int32]*limitFile // topic length and partition: the load has one topic a connection
	staged []byte
	into   *limitFile
	out    []byte
	wait   bool

	readers map[*limitFile]*os.File // for sendfile, which moves a file's position
	wake    chan struct{}
}

// serve reads as much as there is, handles each whole request in it, writes small batches for one file with one pwrite and answers them all at once.
func (s *limitServer) serve(conn net.Conn) error {
	c := &limitConn{s: s, conn: conn, files: map[[2]int32]*limitFile{}, readers: map[*limitFile]*os.File{}, wake: make(chan struct{}, 1)}
	defer func() {
		for _, f := range c.readers {
			_ = f.Close()
		}
	}()
	buf := make([]byte, 256<<10)
	start, end := 0, 0
	for {
		n, err := conn.Read(buf[end:])
		if n == 0 {
			return nil
		}
		if err != nil {
			return err
		}
		end += n
		for end-start >= 4 {
			size := int(binary.BigEndian.Uint32(buf[start:]))
			if end-start < 4+size {
				if 4+size > len(buf)-start {
					if 4+size > len(buf) {
						grown := make([]byte, (4+size)*3)
						copy(grown, buf[start:end])
						buf, start, end = grown, 0, end-start
					} else {
						copy(buf, buf[start:end])
						start, end = 0, end-start
					}
				}
				break
			}
			handle := c.handle
			if buf[start+5] == 1 {
				handle = c.fetch
			}
			if err := handle(buf[start+4 : start+4+size]); err != nil {
				return err
			}
			start += 4 + size
		}
		if start == end {
			start, end = 0, 0
		} else if end == len(buf) {
			copy(buf, buf[start:end])
			start, end = 0, end-start
		}
		if err := c.finish(); err != nil {
			return err
		}
	}
}

func (c *limitConn) handle(req []byte) error {
	if len(req) < 40 {
		return errors.New("short request")
	}
	correlation := req[4:8]
	at := 8 + 2 + int(binary.BigEndian.Uint16(req[8:])) + 1 + 1 // client id, tags, transactional id
	acks := int16(binary.BigEndian.Uint16(req[at:]))
	at += 2 + 4 + 1
	nameLen, n := binary.Uvarint(req[at:])
	at += n
	name := req[at : at+int(nameLen)-1]
	at += len(name) + 1
	partition := int32(binary.BigEndian.Uint32(req[at:]))
	at += 4
	size, n := binary.Uvarint(req[at:])
	at += n
	batch := req[at : at+int(size)-1]
	if crc32.Checksum(batch[21:], castagnoli) != binary.BigEndian.Uint32(batch[17:]) {
		return errors.New("CRC")
	}
	f := c.files[[2]int32{int32(len(name)), partition}]
	if f == nil {
		var err error
		if f, err = c.s.file(fmt.Sprintf("%s-%d", name, partition)); err != nil {
			return err
		}
		c.files[[2]int32{int32(len(name)), partition}] = f
	}
	if len(batch) >= 32<<10 {
		if err := c.write(); err != nil {
			return err
		}
		if err := f.append(batch, !c.s.fsync); err != nil {
			return err
		}
		c.dirty(f)
	} else {
		if c.into != f || len(c.staged) > 1<<20 {
			if err := c.write(); err != nil {
				return err
			}
		}
		c.into = f
		c.staged = append(c.staged, batch...)
	}
	c.wait = c.wait || acks == -1
	// Response v9: one topic, one partition, no error, base offset 0.
	o := len(c.out)
	c.out = append(c.out, 0, 0, 0, 0)
	c.out = append(append(c.out, correlation...), 0, 2)
	c.out = append(append(c.out, byte(nameLen)), name...)
	c.out = append(c.out, 2)
	c.out = binary.BigEndian.AppendUint32(c.out, uint32(partition))
	c.out = append(c.out, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 255, 255, 255, 255, 255, 255, 255, 255, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0)
	binary.BigEndian.PutUint32(c.out[o:], uint32(len(c.out)-o-4))
	return nil
}

func (c *limitConn) write() error {
	if len(c.staged) == 0 {
		return nil
	}
	err := c.into.append(c.staged, !c.s.fsync)
	c.staged = c.staged[:0]
	c.dirty(c.into)
	return err
}

func (c *limitConn) dirty(f *limitFile) {
	if !c.s.fsync {
		return
	}
	p := &c.s.pending
	p.Lock()
	p.files[f] = struct{}{}
	p.Unlock()
}

func (c *limitConn) finish() error {
	if err := c.write(); err != nil {
		return err
	}
	if len(c.out) == 0 {
		return nil
	}
	if !c.s.fsync || !c.wait {
		_, err := c.conn.Write(c.out)
		c.out = c.out[:0]
		return err
	}
	p := &c.s.pending
	p.Lock()
	p.replies = append(p.replies, limitReply{c.conn, append([]byte(nil), c.out...)})
	p.Unlock()
	c.out = c.out[:0]
	select {
	case c.s.waiting <- struct{}{}:
	default:
	}
	return nil
}

// fetch answers Fetch v11 of one topic with what there is, or waits for it.
func (c *limitConn) fetch(req []byte) error {
	if len(req) < 60 {
		return errors.New("short request")
	}
	correlation := req[4:8]
	at := 8 + 2 + int(binary.BigEndian.Uint16(req[8:])) + 4
	maxWait := time.Duration(binary.BigEndian.Uint32(req[at:])) * time.Millisecond
	at += 4 + 4 + 4 + 1 + 4 + 4 + 4
	nameLen := int(binary.BigEndian.Uint16(req[at:]))
	name := req[at+2 : at+2+nameLen]
	at += 2 + nameLen
	n := int(binary.BigEndian.Uint32(req[at:]))
	at += 4
	type part struct {
		partition      int32
		offset         int64
		maxBytes, size int64
		position       int64
		file           *limitFile
	}
	parts := make([]part, n)
	for i := range parts {
		p := &parts[i]
		p.partition, p.offset = int32(binary.BigEndian.Uint32(req[at:])), int64(binary.BigEndian.Uint64(req[at+8:]))
		p.maxBytes = int64(binary.BigEndian.Uint32(req[at+24:]))
		at += 28
		var err error
		if p.file, err = c.s.file(fmt.Sprintf("%s-%d", name, p.partition)); err != nil {
			return err
		}
	}
	timer := time.NewTimer(maxWait)
	defer timer.Stop()
	for found, late := false, false; !found && !late; {
		for i := range parts {
			parts[i].file.mu.Lock()
			parts[i].file.waiters = append(parts[i].file.waiters, c.wake)
			parts[i].file.mu.Unlock()
		}
		for i := range parts {
			p := &parts[i]
			visible := p.file.visible.Load()
			if visible == 0 {
				continue
			}
			p.position = p.offset / p.file.records * p.file.batchSize
			p.size = max(min(visible-p.position, max(p.maxBytes/p.file.batchSize, 1)*p.file.batchSize), 0)
			found = found || p.size > 0
		}
		if !found {
			select {
			case <-c.wake:
			case <-timer.C:
				late = true
			}
		}
	}
	var total int64
	for _, p := range parts {
		total += 42 + p.size
	}
	c.out = binary.BigEndian.AppendUint32(c.out[:0], uint32(4+4+2+4+4+2+int64(nameLen)+4+total))
	c.out = append(append(c.out, correlation...), 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1)
	c.out = append(binary.BigEndian.AppendUint16(c.out, uint16(nameLen)), name...)
	c.out = binary.BigEndian.AppendUint32(c.out, uint32(n))
	for _, p := range parts {
		c.out = binary.BigEndian.AppendUint32(c.out, uint32(p.partition))
		c.out = append(c.out, make([]byte, 2+8+8+8)...)
		c.out = append(c.out, 255, 255, 255, 255, 255, 255, 255, 255)
		c.out = binary.BigEndian.AppendUint32(c.out, uint32(p.size))
		if p.size == 0 {
			continue
		}
		if _, err := c.conn.Write(c.out); err != nil {
			return err
		}
		c.out = c.out[:0]
		if err := c.sendFile(p.file, p.position, p.size); err != nil {
			return err
		}
	}
	if len(c.out) > 0 {
		if _, err := c.conn.Write(c.out); err != nil {
			return err
		}
	}
	c.out = c.out[:0]
	return nil
}

func (c *limitConn) sendFile(f *limitFile, position, size int64) error {
	r := c.readers[f]
	if r == nil {
		var err error
		if r, err = os.Open(f.f.Name()); err != nil {
			return err
		}
		c.readers[f] = r
	}
	if _, err := r.Seek(position, io.SeekStart); err != nil {
		return err
	}
	_, err := io.CopyN(c.conn, r, size) // sendfile, as both ends are what they are
	return err
}

// flusher makes rounds: all files dirty and all replies waiting at its begin.
func (s *limitServer) flusher() {
	for range s.waiting {
		p := &s.pending
		p.Lock()
		replies, files := p.replies, p.files
		p.replies, p.files = nil, map[*limitFile]struct{}{}
		p.Unlock()
		var wg sync.WaitGroup
		for f := range files {
			wg.Add(1)
			sync := func() {
				defer wg.Done()
				f.mu.Lock()
				size := f.size
				f.mu.Unlock()
				if err := syscall.Fdatasync(int(f.f.Fd())); err != nil {
					fmt.Fprintln(os.Stderr, "limit:", err)
					os.Exit(1)
				}
				f.show(size)
			}
			if len(files) == 1 {
				sync()
			} else {
				go sync()
			}
		}
		wg.Wait()
		for _, r := range replies {
			_, _ = r.conn.Write(r.data)
		}
	}
}
