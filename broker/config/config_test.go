package config_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/deskstorm/deskstorm/broker/allocator"
	"github.com/deskstorm/deskstorm/broker/client"
	"github.com/deskstorm/deskstorm/broker/config"
	"github.com/deskstorm/deskstorm/broker/directory"
	"github.com/deskstorm/deskstorm/broker/store"
	"github.com/deskstorm/deskstorm/internal/configfile"
)

// minimal is a configuration with all that is needed and nothing more.
const minimal = `listen: 127.0.0.1:8080
operator_token: {file: token}
database: sqlite:///var/lib/broker.db
cloud: {owner: north}
directory:
  urls: [ldaps://ldap.example.com]
  user_base: dc=example,dc=com
pools:
  - name: standard
    flavor: small
    image: windows
    networks: [desktops]
    ready: 2
    max: 3
default: {pool: standard, bind: user}
`

func TestMinimal(t *testing.T) {
	c, err := config.Parse([]byte(minimal), "/etc/deskstorm/broker.yaml")
	require.NoError(t, err)
	require.Equal(t, "/etc/deskstorm/token", c.OperatorToken.File)
	dsn, err := c.Database.Read()
	require.NoError(t, err)
	require.Equal(t, "sqlite:///var/lib/broker.db", dsn)

	got, ok := c.Allocators.Choose(allocator.Request{})
	require.True(t, ok)
	require.Equal(t, allocator.Allocator{Name: "default", Pool: "standard", Bind: store.BindUser}, got)

	c.OperatorToken, c.Database, c.Allocators = configfile.Secret{}, configfile.Secret{}, nil
	require.Equal(t, config.Config{
		Listen:    "127.0.0.1:8080",
		MaxLogins: 1000,
		Lease:     10 * time.Minute,
		Cloud:     config.Cloud{Owner: "north"},
		Directory: config.Directory{
			URLs: []string{"ldaps://ldap.example.com"}, UserBase: "dc=example,dc=com",
			UserFilter: "(&(objectClass=person)(uid=%s))", UserName: "uid", GroupMember: "member", GroupName: "cn",
			Nested: true, GroupTTL: time.Minute, PageSize: 500, Timeout: 3 * time.Second, MaxConnections: 8,
		},
		Console: config.Console{Order: []string{"spice-direct", "spice-html5"}},
		Pools: []config.Pool{{
			Name: "standard", Flavor: "small", Image: "windows", Networks: []string{"desktops"}, Ready: 2, Max: 3,
			Boots: 4, Wait: 30 * time.Second, BuildTimeout: 5 * time.Minute, CheckEvery: 15 * time.Second, After: config.Replace,
		}},
	}, c)
}

func TestExample(t *testing.T) {
	c, err := config.Load("broker.yaml")
	require.NoError(t, err)
	require.Equal(t, &config.TLS{CertFile: "/etc/deskstorm/broker.crt", KeyFile: "/etc/deskstorm/broker.key"}, c.TLS)
	require.Equal(t, config.Cloud{Name: "mycloud", File: "/etc/openstack/clouds.yaml", Owner: "broker-north", Run: "nightly-1"}, c.Cloud)
	require.Equal(t, "/etc/deskstorm/ldap-password", c.Directory.BindPassword.File)
	require.Equal(t, "ou=groups,dc=example,dc=com", c.Directory.GroupBase)
	require.Equal(t, []string{config.SpiceDirect, config.ViaLibvirt, config.SpiceHTML5, config.Static}, c.Console.Order)
	require.Equal(t, &config.Libvirt{URI: "qemu+tls://%s/system", TicketLifetime: 2 * time.Minute}, c.Console.Libvirt)
	require.Equal(t, 5901, c.Console.Static["reception"].TLSPort)
	require.Equal(t, "RECEPTION_TICKET", c.Console.Static["reception"].Ticket.Env)
	require.Equal(t, "O=Example,CN=spice", c.Console.Subject)
	require.Len(t, c.Pools, 2)
	require.Equal(t, 8, c.Pools[0].Boots)
	require.Equal(t, "/etc/deskstorm/standard.ps1", c.Pools[0].UserData.File)
	require.Equal(t, config.Keep, c.Pools[1].After)

	for _, test := range []struct {
		user  directory.User
		login client.Login
		want  string
	}{
		{directory.User{}, client.Login{Seat: "N2-7", Site: "south"}, "kiosks"},
		{directory.User{Groups: []string{"Agents"}, OUs: []string{"sales"}}, client.Login{Tags: map[string]string{"screens": "2"}}, "agents"},
		{directory.User{}, client.Login{}, "default"},
	} {
		got, ok := c.Allocators.Choose(allocator.Request{User: test.user, Login: test.login})
		require.True(t, ok)
		require.Equal(t, test.want, got.Name)
	}
}

// TestExampleNamesEveryKey puts an unknown key into each section, whose error names the known ones.
func TestExampleNamesEveryKey(t *testing.T) {
	b, err := os.ReadFile("broker.yaml")
	require.NoError(t, err)
	example := string(b)
	for _, section := range []string{
		"", "tls:", "cloud:", "directory:", "console:", "  libvirt:", "    reception:", "  - name: standard", "  - name: agents", "default:",
	} {
		text := example + "\nnope: 1\n"
		if section != "" {
			before, after, ok := strings.Cut(example, "\n"+section)
			require.True(t, ok, section)
			line, after, _ := strings.Cut(after, "\n")
			indent := strings.Repeat(" ", len(section)-len(strings.TrimLeft(section, " "))+2)
			text = before + "\n" + section + line + "\n" + indent + "nope: 1\n" + after
		}
		_, err := config.Parse([]byte(text), "f")
		require.ErrorContains(t, err, "nope: unknown key; expected ", section)
		_, known, _ := strings.Cut(err.Error(), "expected ")
		for _, key := range strings.Split(known, ", ") {
			require.Regexp(t, `(?m)^[ -]*`+key+`:`, example, "section %q", section)
		}
	}
}

func TestMistakes(t *testing.T) {
	const secret = "found the value itself; whoever may read this file, its copies and its history would have the secret, " +
		"so put it in a file of its own"
	const twoPools = "pools:\n  - {name: standard, flavor: f, image: i, networks: [n], ready: 0, max: 1}\n"
	rule := func(change string) string { // on lines 15 to 17
		return "allocators:\n  - {name: a, priority: 1, match: {seat: [x]}, pool: standard, bind: user}\n" +
			"  - " + change + "\ndefault: {pool"
	}
	for _, test := range []struct {
		name     string
		old, new string // what is replaced in minimal; no old: new is all of it
		want     []string
	}{
		{"empty", "", "", []string{"1:1: expected the broker's configuration, found an empty file"}},
		{"comment only", "", "# nothing\n", []string{"1:1: expected the broker's configuration, found an empty file"}},
		{"text", "", "hello\n", []string{`1:1: expected a mapping, found the text "hello"`}},
		{"list", "", "- a\n", []string{"1:1: expected a mapping, found a list"}},
		{"nothing needed", "", "listen: \":0\"\n", []string{
			"1:1: operator_token is missing", "1:1: database is missing", "1:1: cloud is missing", "1:1: directory is missing",
			"1:1: pools is missing"}},
		{"two documents", "default:", "---\ndefault:", []string{"16:1: expected one document, found another"}},
		{"not YAML", "listen: 127.0.0.1:8080", "listen: [a", []string{
			"2:1: not YAML: ',' or ']' must be specified"}},
		{"tab", "  urls", "\turls", []string{"6:1: not YAML: found character '\t' that cannot start any token"}},
		{"the same key twice", "default:", "listen: \":1\"\ndefault:", []string{
			`15:1: not YAML: mapping key "listen" already defined at [1:1]`}},
		{"the same key twice in brackets", "{owner: north}", "{owner: north, owner: south}", []string{
			`4:23: not YAML: mapping key "owner" already defined at [4:9]`}},
		{"nesting", "{owner: north}", strings.Repeat("[", 100_000), []string{
			"4:24: expected at most 16 brackets in each other and 2000 characters in a line"}},
		{"long line", "{owner: north}", strings.Repeat("- ", 100_000), []string{
			"4:2002: expected at most 16 brackets in each other and 2000 characters in a line"}},
		{"size", "", strings.Repeat("#", 256<<10+1), []string{"1:1: expected at most 262144 bytes, found more"}},
		{"anchor", "{owner: north}", "&a {owner: north}", []string{
			"4:8: cloud: expected a mapping, found an anchor or alias, which this file does not take"}},
		{"alias", "flavor: small", "flavor: &f small", []string{
			"10:13: pools[0].flavor: expected text, found an anchor or alias, which this file does not take"}},
		{"merge", "{owner: north}", "{<<: {owner: north}}", []string{
			"4:8: cloud: owner is missing",
			"4:9: expected a key that is text, found an anchor or alias, which this file does not take; put it in quotes"}},
		{"tag", "flavor: small", "flavor: !!str small", []string{
			"10:13: pools[0].flavor: expected text, found a tag, which this file does not take"}},

		{"unknown key", "cloud:", "clod: {}\ncloud:", []string{
			"4:1: clod: unknown key; expected allocators, cloud, console, database, default, directory, lease, listen, max_logins, " +
				"operator_token, pools, tls"}},
		{"unknown key inside", "ready: 2", "redy: 2\n    ready: 2", []string{
			"13:5: pools[0].redy: unknown key; expected after, availability_zone, boots, build_timeout, check_every, flavor, " +
				"image, max, name, networks, ready, user_data, wait"}},
		{"key that is a number", "{owner: north}", "{owner: north, 1: 2}", []string{
			"4:23: expected a key that is text, found the number 1; put it in quotes"}},
		{"missing", "    flavor: small\n    image: windows\n", "", []string{
			"9:5: pools[0]: flavor is missing", "9:5: pools[0]: image is missing"}},
		{"missing in brackets", "{pool: standard, bind: user}", "{}", []string{
			"15:10: default: pool is missing", "15:10: default: bind is missing"}},
		{"nothing where a mapping is expected", "{owner: north}", "", []string{"4:7: cloud: expected a mapping, found nothing"}},
		{"text for a number", "ready: 2", "ready: many", []string{
			`13:12: pools[0].ready: expected a whole number from 0 to 100000, found the text "many"`}},
		{"number in quotes", "ready: 2", `ready: "2"`, []string{
			`13:12: pools[0].ready: expected a whole number from 0 to 100000, found the text "2"`}},
		{"fraction", "ready: 2", "ready: 2.5", []string{
			`13:12: pools[0].ready: expected a whole number from 0 to 100000, found the number 2.5`}},
		{"below", "ready: 2", "ready: -1", []string{"13:12: pools[0].ready: expected a whole number from 0 to 100000, found -1"}},
		{"above", "ready: 2", "ready: 18446744073709551615", []string{
			"13:12: pools[0].ready: expected a whole number from 0 to 100000, found 18446744073709551615"}},
		{"far above", "ready: 2", "ready: 99999999999999999999", []string{
			`13:12: pools[0].ready: expected a whole number from 0 to 100000, found the text "99999999999999999999"`}},
		{"no boots", "ready: 2", "ready: 2\n    boots: 0", []string{
			"14:12: pools[0].boots: expected a whole number from 1 to 1000, found 0"}},
		{"number for text", "flavor: small", "flavor: 8", []string{
			"10:13: pools[0].flavor: expected text (in quotes, if it is a number), found the number 8"}},
		{"boolean for text", "flavor: small", "flavor: true", []string{"10:13: pools[0].flavor: expected text, found true"}},
		{"empty text", "flavor: small", `flavor: " "`, []string{"10:13: pools[0].flavor: expected text, found an empty text"}},
		{"block of text", "flavor: small", "flavor: |\n      small", []string{
			"10:13: pools[0].flavor: expected text, found a block of text"}},
		{"line break in a text", "flavor: small", `flavor: "a\nb"`, []string{
			"10:13: pools[0].flavor: expected text, found a text with line breaks or other control characters"}},
		{"text for a list", "[desktops]", "desktops", []string{
			`12:15: pools[0].networks: expected a list with at least one item, found the text "desktops"`}},
		{"empty list", "[desktops]", "[]", []string{
			"12:15: pools[0].networks: expected a list with at least one item, found an empty list"}},
		{"number in a list", "[desktops]", "[a, 5]", []string{
			"12:19: pools[0].networks[1]: expected text (in quotes, if it is a number), found the number 5"}},
		{"text for a boolean", "  user_base", "  nested: \"yes\"\n  user_base", []string{
			`7:11: directory.nested: expected true or false, found the text "yes"`}},
		{"duration without a unit", "ready: 2", "ready: 2\n    wait: 30", []string{
			"14:11: pools[0].wait: expected a duration from 0s to 10m, with its unit, found the number 30"}},
		{"duration too long", "ready: 2", "ready: 2\n    build_timeout: 3h", []string{
			`14:20: pools[0].build_timeout: expected a duration from 10s to 2h, with its unit, found the text "3h"`}},
		{"negative duration", "ready: 2", "ready: 2\n    wait: -1s", []string{
			`14:11: pools[0].wait: expected a duration from 0s to 10m, with its unit, found the text "-1s"`}},
		{"word", "ready: 2", "ready: 2\n    after: recycle", []string{
			`14:12: pools[0].after: expected one of keep, replace; found the text "recycle"`}},
		{"name", "name: standard", "name: büro 1", []string{
			"9:11: pools[0].name: expected a name of at most 40 letters, digits, '.', '_' and '-' that begins with a letter or " +
				`a digit, found the text "büro 1"`}},
		{"column behind a letter of two bytes", "{owner: north}", "{name: ü, owner: 5}", []string{
			"4:25: cloud.owner: expected a name of at most 40 letters, digits, '.', '_' and '-' that begins with a letter or " +
				"a digit (in quotes, if it is a number), found the number 5"}},
		{"several at once, in order", "ready: 2\n    max: 3", "ready: x\n    max: y\nlog: z", []string{
			`13:12: pools[0].ready: expected a whole number from 0 to 100000, found the text "x"`,
			`14:10: pools[0].max: expected a whole number from 1 to 100000, found the text "y"`,
			"15:1: log: unknown key; expected allocators, cloud, console, database, default, directory, lease, listen, max_logins, " +
				"operator_token, pools, tls"}},

		{"address", "127.0.0.1:8080", "127.0.0.1", []string{
			"1:9: listen: expected an address such as 127.0.0.1:8080, found something else"}},
		{"port", "127.0.0.1:8080", "127.0.0.1:80800", []string{
			"1:9: listen: expected an address such as 127.0.0.1:8080, found something else"}},
		{"half of TLS", "default:", "tls: {cert_file: a}\ndefault:", []string{"15:6: tls: key_file is missing"}},

		{"secret spelled out", "{file: token}", "hunter2", []string{
			"2:17: operator_token: expected {file: PATH} or {env: NAME}, " + secret}},
		{"secret that is a number", "{file: token}", "123456", []string{
			"2:17: operator_token: expected {file: PATH} or {env: NAME}, " + secret}},
		{"secret in a block", "{file: token}", "|\n  hunter2", []string{
			"2:17: operator_token: expected {file: PATH} or {env: NAME}, " + secret}},
		{"secret in a list", "{file: token}", "[hunter2]", []string{
			"2:17: operator_token: expected {file: PATH} or {env: NAME}, found a list"}},
		{"secret as a key", "{file: token}", "{hunter2}", []string{
			"2:18: operator_token: expected {file: PATH} or {env: NAME}, found another key"}},
		{"secret under another key", "{file: token}", "{value: hunter2}", []string{
			"2:18: operator_token: expected {file: PATH} or {env: NAME}, found another key"}},
		{"two places", "{file: token}", "{file: token, env: TOKEN}", []string{
			"2:17: operator_token: expected {file: PATH} or {env: NAME}, found 2 keys"}},
		{"secret as a variable's name", "{file: token}", "{env: hunter2$}", []string{
			"2:23: operator_token.env: expected the name of an environment variable, found something else"}},
		{"secret's path", "{file: token}", "{file: 5}", []string{
			"2:24: operator_token.file: expected a file's path (in quotes, if it is a number), found the number 5"}},
		{"secret beside a syntax error", "{file: token}", "hunter2: hunter2", []string{
			"2:17: not YAML: mapping value is not allowed in this context"}},

		{"database's password", "sqlite:///var/lib/broker.db", "postgres://me:hunter2@db/broker", []string{
			"3:11: database: expected {file: PATH} or {env: NAME} for a DSN with a password, found the DSN itself; whoever may " +
				"read this file, its copies and its history would have the password"}},
		{"database's password as a parameter", "sqlite:///var/lib/broker.db", `"postgres://me@db/broker?sslpassword=hunter2"`, []string{
			"3:11: database: expected {file: PATH} or {env: NAME} for a DSN with a password, found the DSN itself; whoever may " +
				"read this file, its copies and its history would have the password"}},
		{"database that is no URL", "sqlite:///var/lib/broker.db", `"postgres://me:hunter2@db:x/%zz"`, []string{
			"3:11: database: expected sqlite:///ABSOLUTE/PATH, postgres://USER@HOST/DATABASE, {file: PATH} or {env: NAME}, " +
				"found something else"}},
		{"another database", "sqlite:///var/lib/broker.db", "mysql://me:hunter2@db/broker", []string{
			"3:11: database: expected sqlite:///ABSOLUTE/PATH, postgres://USER@HOST/DATABASE, {file: PATH} or {env: NAME}, " +
				"found something else"}},
		{"relative database", "sqlite:///var/lib/broker.db", "sqlite://broker.db", []string{
			"3:11: database: expected sqlite:///ABSOLUTE/PATH, postgres://USER@HOST/DATABASE, {file: PATH} or {env: NAME}, " +
				"found something else"}},
		{"database that is a number", "sqlite:///var/lib/broker.db", "5", []string{
			"3:11: database: expected {file: PATH} or {env: NAME}, " + secret}},

		{"owner", "owner: north", "owner: a/b", []string{
			"4:16: cloud.owner: expected a name of at most 40 letters, digits, '.', '_' and '-' that begins with a letter or " +
				`a digit, found the text "a/b"`}},

		{"directory's URL", "ldaps://ldap.example.com", "http://x, ldap://a:hunter2@b, ldap://h:389/, 'ldap://'", []string{
			"6:10: directory.urls[0]: expected ldap://HOST or ldaps://HOST, with a port or without, and nothing more, found something else",
			"6:20: directory.urls[1]: expected ldap://HOST or ldaps://HOST, with a port or without, and nothing more, found something else",
			"6:55: directory.urls[3]: expected ldap://HOST or ldaps://HOST, with a port or without, and nothing more, found something else"}},
		{"StartTLS on TLS", "  user_base", "  start_tls: true\n  user_base", []string{
			"7:14: directory.start_tls: expected ldap:// in all urls, found ldaps://, which is TLS from the beginning"}},
		{"in_chain without nested", "  user_base", "  in_chain: true\n  nested: false\n  user_base", []string{
			"7:13: directory.in_chain: expected nested groups with it, found nested: false"}},
		{"bind_dn alone", "  user_base", "  bind_dn: cn=x\n  user_base", []string{
			"6:3: directory: expected bind_dn and bind_password together, found one of them"}},
		{"DN", "dc=example,dc=com", "example", []string{
			"7:14: directory.user_base: expected a DN such as ou=people,dc=example,dc=com, found something else"}},
		{"filter without a user", "  user_base", "  user_filter: (uid=x)\n  user_base", []string{
			"7:16: directory.user_filter: expected an LDAP filter with %s for the user's name, such as (uid=%s), found something else"}},
		{"filter", "  user_base", "  group_filter: (cn=x\n  user_base", []string{
			"7:17: directory.group_filter: expected an LDAP filter such as (objectClass=groupOfNames), found something else"}},

		{"console's way", "default:", "console: {order: [spice-direct, vnc]}\ndefault:", []string{
			`15:33: console.order[1]: expected one of spice-direct, libvirt, spice-html5, static; found the text "vnc"`}},
		{"console's way twice", "default:", "console: {order: [spice-direct, spice-direct]}\ndefault:", []string{
			"15:33: console.order[1]: spice-direct is in the list already"}},
		{"console's way that is not configured", "default:", "console: {order: [libvirt, spice-direct, static]}\ndefault:", []string{
			"15:19: console.order[0]: expected console.libvirt beside it, which is missing",
			"15:42: console.order[2]: expected console.static beside it, which is missing"}},
		{"libvirt's URI", "default:", "console: {libvirt: {uri: \"qemu+ssh://me:hunter2@%s/system\"}}\ndefault:", []string{
			"15:26: console.libvirt.uri: expected a libvirt URI without a password, such as qemu+tls://%s/system, found something else"}},
		{"another hypervisor", "default:", "console: {libvirt: {uri: \"xen:///\"}}\ndefault:", []string{
			"15:26: console.libvirt.uri: expected a libvirt URI without a password, such as qemu+tls://%s/system, found something else"}},
		{"static console without a port", "default:", "console:\n  static:\n    desk.1: {host: h}\ndefault:", []string{
			"17:13: console.static.'desk.1': expected port or tls_port, found neither"}},
		{"static console's port", "default:", "console: {static: {d: {host: h, port: 0}}}\ndefault:", []string{
			"15:39: console.static.d.port: expected a whole number from 1 to 65535, found 0"}},

		{"more ready than max", "ready: 2", "ready: 4", []string{"13:12: pools[0].ready: expected at most max, which is 3, found 4"}},
		{"a pool's name twice", "pools:\n", twoPools, []string{"10:11: pools[1].name: standard is another pool's name already"}},

		{"unknown pool of the default", "pool: standard", "pool: stadnard", []string{
			`15:17: default.pool: expected a pool of this file (standard), found "stadnard"`}},
		{"nobody served", "default: {pool: standard, bind: user}\n", "", []string{
			"1:1: no allocators and no default: nobody would get a desktop"}},
		{"unknown pool", "default: {pool", rule("{name: b, priority: 2, match: {seat: [y]}, pool: big, bind: seat}"), []string{
			`17:54: allocators[1].pool: expected a pool of this file (standard), found "big"`}},
		{"bind", "default: {pool", rule("{name: b, priority: 2, match: {seat: [y]}, pool: standard, bind: desk}"), []string{
			`17:70: allocators[1].bind: expected one of user, seat, thin_client, session; found the text "desk"`}},
		{"same name", "default: {pool", rule("{name: a, priority: 2, match: {seat: [y]}, pool: standard, bind: seat}"), []string{
			"17:12: allocators[1].name: is allocator 1's too; give each its own"}},
		{"default's name", "default: {pool", rule("{name: default, priority: 2, match: {seat: [y]}, pool: standard, bind: seat}"), []string{
			`18:10: default: "default" is allocator 2's too; give each its own`}},
		{"same priority", "default: {pool", rule("{name: b, priority: 1, match: {seat: [y]}, pool: standard, bind: seat}"), []string{
			`17:25: allocators[1].priority: 1 is allocator 1's too ("a"), so that neither is first; give each its own`}},
		{"no condition", "default: {pool", rule("{name: b, priority: 2, match: {}, pool: standard, bind: seat}"), []string{
			`17:35: allocators[1].match: has no condition; a rule for everybody is the default, and one for every seat has the seat "*"`}},
		{"pattern", "default: {pool", rule(`{name: b, priority: 2, match: {seat: ["y", "N[2"]}, pool: standard, bind: seat}`), []string{
			`17:48: allocators[1].match.seat[1]: "N[2" is no pattern: * is any text, ? one character, [a-z] a range`}},
		{"tag that is a number", "default: {pool", rule(`{name: b, priority: 2, match: {tag: {screens: 2}}, pool: standard, bind: user}`), []string{
			`17:51: allocators[1].match.tag.screens: expected text (in quotes, if it is a number), found the number 2`}},
		{"match's kind", "default: {pool", rule(`{name: b, priority: 2, match: {groups: [x]}, pool: standard, bind: user}`), []string{
			"17:36: allocators[1].match.groups: unknown key; expected group, ou, seat, site, tag"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			text := test.new
			if test.old != "" {
				require.Equal(t, 1, strings.Count(minimal, test.old), "what is replaced")
				text = strings.Replace(minimal, test.old, test.new, 1)
			}
			c, err := config.Parse([]byte(text), "broker.yaml")
			require.Error(t, err)
			require.Equal(t, config.Config{}, c, "nothing is half read")
			require.NotContains(t, err.Error(), "hunter2")
			var first *configfile.Error
			require.True(t, errors.As(err, &first))
			require.Equal(t, "broker.yaml", first.File)
			require.Equal(t, "broker.yaml:"+strings.Join(test.want, "\nbroker.yaml:"), err.Error())
		})
	}
}

// TestConsoleOrder is the default, which depends on what is configured.
func TestConsoleOrder(t *testing.T) {
	for section, want := range map[string][]string{
		"console: {}": {"spice-direct", "spice-html5"},
		"console: {libvirt: {uri: \"qemu:///system\"}}": {"spice-direct", "libvirt", "spice-html5"},
		"console: {static: {d: {host: h, port: 1}}}":    {"spice-direct", "spice-html5", "static"},
		"console: {order: [spice-html5]}":               {"spice-html5"},
	} {
		c, err := config.Parse([]byte(minimal+section+"\n"), "f")
		require.NoError(t, err)
		require.Equal(t, want, c.Console.Order, section)
	}
}

func TestDatabases(t *testing.T) {
	for _, dsn := range []string{"postgres://db/broker", "postgresql://me@db:5432/broker?sslmode=verify-full", "sqlite:///x"} {
		c, err := config.Parse([]byte(strings.Replace(minimal, "sqlite:///var/lib/broker.db", dsn, 1)), "f")
		require.NoError(t, err)
		got, err := c.Database.Read()
		require.NoError(t, err)
		require.Equal(t, dsn, got)
	}
}

func TestLineEnds(t *testing.T) {
	_, err := config.Parse([]byte(strings.ReplaceAll(minimal, "\n", "\r\n")), "f")
	require.NoError(t, err)
	_, err = config.Parse([]byte(strings.ReplaceAll(strings.Replace(minimal, "ready: 2", "ready: x", 1), "\n", "\r\n")), "f")
	require.ErrorContains(t, err, "f:13:12: ")
	_, err = config.Parse([]byte("%YAML 1.2\n---\n"+minimal+"...\n"), "f")
	require.NoError(t, err)
}

func TestLoad(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "broker.yaml")
	_, err := config.Load(path)
	require.ErrorIs(t, err, os.ErrNotExist)

	require.NoError(t, os.WriteFile(path, []byte(minimal), 0o600))
	c, err := config.Load(path)
	require.NoError(t, err)
	require.Equal(t, filepath.Join(dir, "token"), c.OperatorToken.File)

	require.NoError(t, os.WriteFile(path, []byte("listen: 5\n"), 0o600))
	_, err = config.Load(path)
	require.ErrorContains(t, err, path+":1:9: listen: ")
}

func FuzzParse(f *testing.F) {
	example, err := os.ReadFile("broker.yaml")
	require.NoError(f, err)
	f.Add(string(example))
	f.Add(minimal)
	f.Add("pools: [{name: a, ready: 1e3}, &a {b: *a}]\n? x\n: |\n  y\n")
	f.Fuzz(func(t *testing.T, text string) {
		c, err := config.Parse([]byte(text), "broker.yaml")
		if err == nil {
			require.NotNil(t, c.Allocators)
			require.NotEmpty(t, c.Pools)
			return
		}
		for line := range strings.Lines(err.Error()) {
			var l, column int
			n, _ := fmt.Sscanf(line, "broker.yaml:%d:%d: ", &l, &column)
			require.Equal(t, 2, n, "no place in %q", line)
			require.Positive(t, l)
			require.Positive(t, column)
		}
	})
}
