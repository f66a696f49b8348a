package process

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"
)

// A page is a page of this process: a file that is mapped once, with the slot that this process has
// in it.
type page struct {
	memory *memory
	me     atomic.Uint32 // 1 + the slot, or 0: none yet
	asleep atomic.Int32  // the threads of this process that sleep
	path   string
	order  order

	// What follows is guarded by mutex.
	fd         int // the only descriptor of the file: closing any would drop the slot's byte lock
	file       identity
	both       []byte // the memory of the robust list's entries, and the mapping behind it
	references int
	sentinel   *sentinel // once it has a slot
	aims       [Lives]aim
	seen       atomic.Uint64 // the cell at the last look
}

// An aim is what a sentinel watches: a life word of another slot, while it has this value.
type aim struct {
	slot     uint32 // 1 + its index, or 0: none
	life     uint32
	passedOn bool // its debts, once: see attend
}

type identity struct{ device, inode uint64 }

var (
	mutex sync.Mutex // guards the pages, the slots' robust lists, and the sentinels
	pages = map[identity]*page{}
)

// distance is from a robust list's entry to its life word.
var distance = (Size + os.Getpagesize() - 1) / os.Getpagesize() * os.Getpagesize()

// folder returns the folder of this user's pages, made if there is none.
func folder() (string, error) {
	path := fmt.Sprintf("/dev/shm/golock-%d", os.Geteuid())
	err := os.Mkdir(path, 0o700)
	if err == nil {
		err = os.Chmod(path, 0o700) // whatever the umask
	}
	if err != nil && !errors.Is(err, os.ErrExist) {
		return "", err
	}
	var found unix.Stat_t
	if err := unix.Lstat(path, &found); err != nil {
		return "", &os.PathError{Op: "lstat", Path: path, Err: err}
	}
	switch {
	case found.Mode&unix.S_IFMT != unix.S_IFDIR:
		return "", fmt.Errorf("%s: not a folder", path)
	case int(found.Uid) != os.Geteuid():
		return "", fmt.Errorf("%s: it belongs to the user %d", path, found.Uid)
	case found.Mode&0o077 != 0:
		return "", fmt.Errorf("%s: others may enter it (mode %o)", path, found.Mode&0o777)
	}
	return path, nil
}

// longestName is that of a page's file.
const longestName = 200

// pathOf returns the path of a name's page, as golock/process.py does.
func pathOf(name string) (string, error) {
	if name == "" {
		return "", errors.New("a name must not be empty")
	}
	var file strings.Builder
	for i := range len(name) {
		c := name[i]
		plain := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' ||
			strings.IndexByte("_-~ ", c) >= 0 || c == '.' && i > 0
		if plain {
			file.WriteByte(c)
		} else {
			fmt.Fprintf(&file, "%%%02X", c)
		}
	}
	escaped := file.String()
	if len(escaped) > longestName {
		digest := fmt.Sprintf("%x", sha256.Sum256([]byte(name)))
		escaped = escaped[:longestName-len(digest)-1] + "~" + digest
	}
	in, err := folder()
	return in + "/" + escaped, err
}

// open returns the page of a name and of this kind, made if there is none, with a reference.
func open(name string, kind uint32) (*page, error) {
	path, err := pathOf(name)
	if err != nil {
		return nil, err
	}
	mutex.Lock()
	defer mutex.Unlock()
	endUnused()
	// A second descriptor of a file must not be opened, because it would have to be closed. A
	// mapping of a torn page must not be read.
	var found unix.Stat_t
	if unix.Lstat(path, &found) == nil && found.Size == Size {
		if p := pages[identity{found.Dev, found.Ino}]; p != nil {
			if p.memory.kind != kind {
				return nil, notOf(kind, path)
			}
			p.references++
			return p, nil
		}
	}
	fd, err := descriptor(path, kind)
	if err != nil {
		return nil, err
	}
	p, err := mapped(fd, path)
	if err != nil {
		unix.Close(fd)
	}
	return p, err
}

func notOf(kind uint32, path string) error {
	return fmt.Errorf("%s: not the page of %s", path, map[uint32]string{
		KindLock: "a lock", KindEvent: "an event",
	}[kind])
}

// descriptor opens the file, or makes it.
func descriptor(path string, kind uint32) (int, error) {
	for {
		fd, err := unix.Open(path,
			unix.O_RDWR|unix.O_NOFOLLOW|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
		switch err {
		case nil:
			if err := check(fd, path, kind); err != nil {
				unix.Close(fd)
				return -1, err
			}
			return fd, nil
		case unix.ENOENT:
			if fd, err := create(path, kind); err != unix.EEXIST {
				return fd, err
			}
		default:
			return -1, &os.PathError{Op: "open", Path: path, Err: err}
		}
	}
}

// check returns an error unless the file is a page of this kind and version that belongs to the
// user.
func check(fd int, path string, kind uint32) error {
	fault := func(format string, arguments ...any) error {
		return fmt.Errorf("%s: "+format, append([]any{path}, arguments...)...)
	}
	var found unix.Stat_t
	if err := unix.Fstat(fd, &found); err != nil {
		return &os.PathError{Op: "fstat", Path: path, Err: err}
	}
	var header [16]byte
	switch {
	case found.Mode&unix.S_IFMT != unix.S_IFREG:
		return fault("not a regular file")
	case int(found.Uid) != os.Geteuid():
		return fault("it belongs to the user %d", found.Uid)
	case found.Mode&0o077 != 0:
		return fault("others may access it (mode %o)", found.Mode&0o777)
	}
	n, err := unix.Pread(fd, header[:], 0)
	word := func(i int) uint32 { return binary.NativeEndian.Uint32(header[4*i:]) }
	switch {
	case err != nil:
		return &os.PathError{Op: "read", Path: path, Err: err}
	case n < len(header) || word(0) != Magic:
		return fault("not a page of golock's")
	case word(1) != Version:
		return fault("a page of version %d; this is version %d", word(1), Version)
	case word(2) != Size || found.Size != Size:
		return fault("a torn page: %d bytes instead of %d", found.Size, Size)
	case word(3) != kind:
		return notOf(kind, path)
	}
	return nil
}

// create makes the page's file, which gets its name when it is complete. Its memory is allocated
// here, and not at the first access. Returns EEXIST if the path is to be opened again: another
// process was faster; or it has removed the new file as a stale one, because this process was
// stopped for long.
func create(path string, kind uint32) (int, error) {
	made, err := os.CreateTemp(path[:strings.LastIndexByte(path, '/')], ".new-*")
	if err != nil {
		return -1, fmt.Errorf("%s: %w", path, err)
	}
	defer made.Close()
	defer os.Remove(made.Name())
	header := make([]byte, 16)
	for i, word := range []uint32{Magic, Version, Size, kind} {
		binary.NativeEndian.PutUint32(header[4*i:], word)
	}
	if err := made.Chmod(0o600); err != nil { // whatever the umask
		return -1, err
	}
	if err := unix.Fallocate(int(made.Fd()), 0, 0, Size); err != nil {
		return -1, &os.PathError{Op: "allocate", Path: path, Err: err}
	}
	if _, err := made.WriteAt(header, 0); err != nil {
		return -1, err
	}
	switch err := unix.Link(made.Name(), path); err {
	case nil:
		return unix.FcntlInt(made.Fd(), unix.F_DUPFD_CLOEXEC, 0)
	case unix.EEXIST, unix.ENOENT:
		return -1, unix.EEXIST
	default:
		return -1, &os.PathError{Op: "link", Path: path, Err: err}
	}
}

func mapped(fd int, path string) (*page, error) {
	var found unix.Stat_t
	if err := unix.Fstat(fd, &found); err != nil {
		return nil, &os.PathError{Op: "fstat", Path: path, Err: err}
	}
	both, err := unix.Mmap(-1, 0, 2*distance, unix.PROT_READ|unix.PROT_WRITE,
		unix.MAP_PRIVATE|unix.MAP_ANONYMOUS|unix.MAP_NORESERVE)
	if err != nil {
		return nil, &os.PathError{Op: "mmap", Path: path, Err: err}
	}
	at := unsafe.Pointer(&both[distance])
	_, err = unix.MmapPtr(fd, 0, at, Size, unix.PROT_READ|unix.PROT_WRITE,
		unix.MAP_SHARED|unix.MAP_FIXED)
	if err != nil {
		unix.Munmap(both)
		return nil, &os.PathError{Op: "mmap", Path: path, Err: err}
	}
	p := &page{
		memory: (*memory)(at), path: path, fd: fd, both: both, references: 1,
		file: identity{found.Dev, found.Ino},
	}
	pages[p.file] = p
	return p, nil
}

// drop drops a reference. The page goes with the last one, or, if this process holds the lock then,
// when a page is opened or dropped after somebody has released it.
func (p *page) drop() {
	mutex.Lock()
	defer mutex.Unlock()
	p.references--
	endUnused()
}

// endUnused ends the pages without references, unless this process holds their locks.
func endUnused() {
	for _, p := range pages {
		me := p.me.Load()
		if p.references > 0 || me != 0 && p.memory.load().holder() == me {
			continue
		}
		delete(pages, p.file)
		p.leave()
		if p.hasFile() {
			unix.Close(p.fd)
		}
		unix.Munmap(p.both)
	}
}
