package doctor

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"unicode"

	"custom-misp/cmd/custom-misp/internal/cli"
	"custom-misp/cmd/custom-misp/internal/manager"
	"custom-misp/engine/atomicfile"
	"custom-misp/engine/wazuh"
)

// A remedy is a command that can be pasted into a shell of root as it is, or one sentence where no command can help.
// Commands that change ossec.conf keep the numbers of its lines, so that those for several faults can be pasted one after
// the other.

// programs begin the commands of remedies. No sentence begins with one of them.
var programs = []string{
	"chmod", "chown", "curl", "getent", "install", "mv", "openssl", "printf", "read", "rm", "sed", "sudo", "systemctl", "timedatectl", "umask",
}

// isCommand reports whether a remedy is a command.
func isCommand(remedy string) bool {
	first, _, _ := strings.Cut(remedy, " ")
	return strings.HasPrefix(first, "/") || slices.Contains(programs, first)
}

// restart returns the command that restarts Wazuh. Containers have no systemd.
func (i *examination) restart() string { return i.controlled("restart") }

// start returns the command that starts Wazuh.
func (i *examination) start() string { return i.controlled("start") }

func (i *examination) controlled(verb string) string {
	if i.systemd {
		return "systemctl " + verb + " wazuh-manager"
	}
	control := "bin/wazuh-control"
	if _, err := os.Stat(i.config.FromHome(control)); err != nil && !i.Since(4, 2) {
		control = "bin/ossec-control"
	}
	return i.config.FromHome(control) + " " + verb
}

// systemdRuns reports whether systemd is the first process of this machine.
func systemdRuns() bool {
	_, err := os.Stat("/run/systemd/system")
	return err == nil
}

// asRoot returns the command line with this program that root has to run, or Wazuh's user.
func (i *examination) asRoot(verb string) string {
	command := i.command(verb)
	if os.Geteuid() == 0 {
		return command
	}
	if _, err := exec.LookPath("sudo"); err == nil {
		return "sudo " + command
	}
	return "become root or the user " + i.User.Name + " and run: " + command
}

// command returns a command line with this program for this Wazuh.
func (i *examination) command(verb string) string { return i.program(verb) + " --home " + i.Home }

// program returns a command line with this program.
func (i *examination) program(verb string) string {
	name := i.Self
	if name == "" {
		name = i.Program
	}
	return name + " " + verb
}

// confLines returns the lines of ossec.conf, none if it cannot be read.
func (i *examination) confLines() []string {
	data, err := atomicfile.ReadRegular(i.ConfFile(), cli.MaxFile)
	if err != nil {
		return nil
	}
	return strings.Split(string(data), "\n")
}

// change returns the command that puts one text of a line of ossec.conf in the place of another and restarts Wazuh. Where
// the line does not have the text once, it is the sentence.
func (i *examination) change(line int, from, to, sentence string) string {
	lines := i.confLines()
	if line < 1 || line > len(lines) || strings.Count(lines[line-1], from) != 1 {
		return sentence
	}
	expression, ok := substitution(from, to)
	if !ok {
		return sentence
	}
	return fmt.Sprintf("sed -i '%d%s' %s && %s", line, expression, i.ConfFile(), i.restart())
}

// substitution returns the command of sed that puts a text in the place of another, to stand between single quotes.
func substitution(from, to string) (string, bool) {
	if strings.ContainsFunc(from+to, func(r rune) bool { return r == '\'' || unicode.IsControl(r) && r != '\t' }) {
		return "", false
	}
	for _, mark := range "|#~@%!" {
		if strings.ContainsRune(from+to, mark) {
			continue
		}
		pattern := strings.NewReplacer(`\`, `\\`, `.`, `\.`, `*`, `\*`, `[`, `\[`, `]`, `\]`, `^`, `\^`, `$`, `\$`).Replace(from)
		replacement := strings.NewReplacer(`\`, `\\`, `&`, `\&`).Replace(to)
		return fmt.Sprintf("s%c%s%c%s%c", mark, pattern, mark, replacement, mark), true
	}
	return "", false
}

// rewrite returns the command that gives an element of ossec.conf another text; for an empty one it takes the element out.
func (i *examination) rewrite(e wazuh.Element, text, sentence string) string {
	element := func(text string) string { return "<" + e.Name + ">" + text + "</" + e.Name + ">" }
	to := element(text)
	if text == "" {
		to = ""
	}
	if !strings.Contains(e.Text, "\n") {
		return i.change(e.Line, element(e.Text), to, sentence)
	}
	// Over several lines, which must be the element's own.
	lines, last := i.confLines(), e.Line+strings.Count(e.Text, "\n")
	if last > len(lines) || strings.Join(lines[e.Line-1:last], "\n") != strings.Repeat(" ", leadingBlanks(lines[e.Line-1]))+element(e.Text) {
		return sentence
	}
	if strings.ContainsAny(to, `'\&|`) {
		return sentence
	}
	return fmt.Sprintf("sed -i -e '%ds|.*|%s|' -e '%d,%ds|.*||' %s && %s", e.Line, to, e.Line+1, last, i.ConfFile(), i.restart())
}

func leadingBlanks(line string) int { return len(line) - len(strings.TrimLeft(line, " ")) }

// insert returns the command that puts an element into a block.
func (i *examination) insert(b wazuh.Integration, element string) string {
	return i.change(b.Line, "<integration>", "<integration>"+element, "write "+element+" into the block at line "+fmt.Sprint(b.Line)+" of "+i.ConfFile())
}

// removeBlock returns the command that takes a block out of ossec.conf.
func (i *examination) removeBlock(b wazuh.Integration) string {
	lines := i.confLines()
	if b.End == 0 || b.End > len(lines) || strings.TrimSpace(lines[b.Line-1]) != "<integration>" || strings.TrimSpace(lines[b.End-1]) != "</integration>" {
		return fmt.Sprintf("take the <integration> block at line %d out of %s and restart the manager", b.Line, i.ConfFile())
	}
	return fmt.Sprintf("sed -i '%d,%ds|.*||' %s && %s", b.Line, b.End, i.ConfFile(), i.restart())
}

// newBlock returns the command that adds a block for this program to ossec.conf.
func (i *examination) newBlock() string {
	name := filepath.Base(i.Program)
	return fmt.Sprintf(`printf '<ossec_config>\n  <integration>\n    <name>%s</name>\n    <level>3</level>\n    <alert_format>json</alert_format>\n  </integration>\n</ossec_config>\n' >> %s && %s`,
		name, i.ConfFile(), i.restart())
}

// fillKey returns the command that asks for the key and writes it, past the shell's history and past the process list.
func (i *examination) fillKey(file string) string {
	return fmt.Sprintf(`read -rsp 'key of MISP: ' key && printf '%%s\n' "$key" | install -o root -g %s -m 0640 /dev/stdin %s`, i.User.Group, file)
}

// readable returns the command that lets integratord's user read a file, and only read it.
func (i *examination) readable(file string) string {
	return fmt.Sprintf("chown root:%s %s && chmod 0640 %s", i.User.Group, file, file)
}

// allow returns the command that lets integratord's user come to a file, if a directory above it keeps it out; otherwise
// the other remedy.
func (i *examination) allow(path, otherwise string) string {
	for dir := filepath.Dir(path); dir != i.Home && dir != filepath.Dir(dir); dir = filepath.Dir(dir) {
		if st, err := os.Stat(dir); err == nil && !i.User.Allowed(st, manager.MayRun) {
			return fmt.Sprintf("chown :%s %s && chmod g+x %s", i.User.Group, dir, dir)
		}
	}
	return otherwise
}

// possible returns a remedy that can be carried out here: what is on a file system that cannot be written to has to be
// changed where it comes from.
func (i *examination) possible(remedy string) string {
	if !isCommand(remedy) {
		return remedy
	}
	words := strings.Fields(remedy)
	for n, word := range words {
		starts := n == 0 || words[n-1] == "&&" || words[n-1] == "|"
		if starts || !strings.HasPrefix(word, i.Home+"/") {
			continue
		}
		if at := existing(word); i.readOnly(at) {
			return fmt.Sprintf("change %s where it comes from, because %s cannot be written to here: with Kubernetes that is the ConfigMap or Secret, its defaultMode, and fsGroup for Wazuh's group",
				word, at)
		}
	}
	return remedy
}

// existing returns the path, or the nearest directory above it that exists.
func existing(path string) string {
	for path != filepath.Dir(path) {
		if _, err := os.Stat(path); err == nil {
			break
		}
		path = filepath.Dir(path)
	}
	return path
}

// onReadOnly reports whether a file is on a file system that is mounted read-only.
func onReadOnly(path string) bool {
	const readOnly = 1 // ST_RDONLY
	var st syscall.Statfs_t
	return syscall.Statfs(path, &st) == nil && st.Flags&readOnly != 0
}
