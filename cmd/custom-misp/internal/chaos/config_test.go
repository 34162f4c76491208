package chaos

import (
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// configFaults are changes of the configuration, good and bad ones.
func configFaults() []fault {
	return []fault{
		{name: "reload", lane: laneConfig, begin: func(r *round, chance *rand.Rand) func() {
			switch chance.IntN(3) {
			case 0:
				r.serve.signal(syscall.SIGHUP)
			case 1:
				r.write("etc/custom-misp/mappings/t.yaml", mapping+strings.Repeat("# changed\n", chance.IntN(10)))
			default:
				r.config.drain = between(chance, 200*time.Millisecond, time.Second)
				r.config.loglevel = []string{"info", "debug"}[chance.IntN(2)]
				r.configure()
			}
			return nil
		}},
		{name: "config-broken", lane: laneConfig, least: 100 * time.Millisecond, most: 3 * time.Second, begin: beginBroken},
	}
}

// beginBroken writes a configuration that cannot be used over the good one, as careless editors do: emptied and written.
func beginBroken(r *round, chance *rand.Rand) func() {
	broken := []string{"misp: [", r.configText() + "unknown: key\n", "\x00\x01\x02"}
	if !r.plan.keyInArgs { // else MISP is known, and this is another configuration that can be used
		broken = append(broken, "", "timeout: 3s\n")
	}
	r.check(os.WriteFile(filepath.Join(r.home, "etc/custom-misp.yaml"), []byte(broken[chance.IntN(len(broken))]), 0o600))
	return r.configure
}

// mirrorFaults damage the files of the mirror while they are in use.
func mirrorFaults() []fault {
	damage := func(do func(f *os.File, size int64, chance *rand.Rand) error) func(*round, *rand.Rand) func() {
		return func(r *round, chance *rand.Rand) func() {
			var files []string
			_ = filepath.WalkDir(filepath.Join(r.state, "mirror"), func(name string, d fs.DirEntry, err error) error {
				if err != nil || !d.Type().IsRegular() || strings.HasPrefix(d.Name(), ".") || filepath.Ext(name) == ".lock" || d.Name() == "lock" {
					return nil //nolint:nilerr // what is gone is not damaged
				}
				files = append(files, name)
				return nil
			})
			if len(files) == 0 {
				return nil
			}
			name := files[chance.IntN(len(files))]
			f, err := os.OpenFile(name, os.O_RDWR, 0)
			if err != nil {
				return nil
			}
			defer f.Close() //nolint:errcheck // only damaged
			st, err := f.Stat()
			if err == nil && st.Size() > 0 {
				err = do(f, st.Size(), chance)
				r.note("%s is damaged: %v", strings.TrimPrefix(name, r.state), err)
			}
			return nil
		}
	}
	return []fault{
		{
			name: "mirror-bits", lane: laneMirror,
			begin: damage(func(f *os.File, size int64, chance *rand.Rand) error {
				for range 20 {
					at, b := chance.Int64N(size), make([]byte, 1)
					if _, err := f.ReadAt(b, at); err != nil {
						return err
					}
					b[0] ^= 1 << chance.IntN(8)
					if _, err := f.WriteAt(b, at); err != nil {
						return err
					}
				}
				return nil
			}),
		},
		{
			name: "mirror-cut", lane: laneMirror,
			begin: damage(func(f *os.File, size int64, chance *rand.Rand) error { return f.Truncate(chance.Int64N(size)) }),
		},
	}
}
