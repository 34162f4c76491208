package serve

import (
	"time"

	"github.com/tidwall/gjson"

	"custom-misp/cmd/custom-misp/internal/handover"
	"custom-misp/engine/wazuh/alertlog"
)

// noteReads writes into the lock which alerts calls by integratord may leave to this process: those of the file that it
// reads which were written after it began. They may only rely on it once the checkpoint is saved: a process that takes its
// place then begins at or before them. inode is the file that is read now. integratord takes all alerts from one file, the
// main one.
func (v *server) noteReads(f *alertsFile, inode uint64) {
	switch {
	case !f.Main || inode == 0 || v.reads != nil && v.reads.Inode == inode || !f.checkpoint.saved():
		return // another file, compressed, or known, or not safe
	case v.reads != nil:
		// The file that follows one which was read to its end is read from its start.
		v.reads = &handover.Reads{Inode: inode, Since: v.reads.Since}
	default:
		line, live, err := alertlog.Last(f.Path)
		if err != nil || live != inode {
			return // behind: once it reads the live file
		}
		reads := &handover.Reads{Inode: inode, Since: time.Now().Unix()}
		if len(line) > 0 {
			id, ok := handover.ParseAlertID(gjson.GetBytes(line, "id").String())
			if !ok {
				return // what was written before cannot be told from the rest
			}
			reads.After = id.Offset
		}
		v.reads = reads
	}
	if err := v.lock.Note(v.reads); err != nil {
		v.log.Warn("calls queue alerts that this process reads itself", "error", err.Error())
	}
}
