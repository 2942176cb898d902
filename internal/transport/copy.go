package transport

import (
	"fmt"
	"io"
	"sync"
)

// copyBufferBytes is the size of the pooled buffers through which SendFile copies where the kernel can't send.
const copyBufferBytes = 64 << 10

// newCopyBuffers makes a pool of *[]byte of copyBufferBytes.
func newCopyBuffers() *sync.Pool {
	return &sync.Pool{New: func() any {
		buffer := make([]byte, copyBufferBytes)
		return &buffer
	}}
}

// copyFile writes head and then n bytes of source through a pooled buffer, head and first bytes in one write.
func copyFile(to io.Writer, pool *sync.Pool, head []byte, source io.ReaderAt, offset, n int64) error {
	pooled := pool.Get().(*[]byte)
	defer pool.Put(pooled)
	buffer := *pooled
	filled := 0
	if len(head) > len(buffer)/2 {
		if _, err := to.Write(head); err != nil {
			return err
		}
	} else {
		filled = copy(buffer, head)
	}
	for n > 0 || filled > 0 {
		want := int(min(n, int64(len(buffer)-filled)))
		got, err := source.ReadAt(buffer[filled:filled+want], offset)
		if got < want {
			return shortSource(offset+int64(got), n-int64(got), err)
		}
		if _, err := to.Write(buffer[:filled+want]); err != nil {
			return err
		}
		offset += int64(want)
		n -= int64(want)
		filled = 0
	}
	return nil
}

// shortSource is the error of a source that ends before the bytes that were promised.
func shortSource(offset, missing int64, cause error) error {
	if cause == nil || cause == io.EOF {
		cause = io.ErrUnexpectedEOF
	}
	return fmt.Errorf("send file: %d bytes missing at offset %d: %w", missing, offset, cause)
}
