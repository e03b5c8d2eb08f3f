package debian

import (
	"compress/gzip"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sync/errgroup"
)

// databases are the services'.
var databases = []string{"keystone", "glance", "placement", "nova_api", "nova", "nova_cell0", "neutron"}

// schemaPackages are whose versions make a snapshot of the schemas another one.
var schemaPackages = []string{"python3-keystone", "python3-glance", "python3-placement", "python3-nova", "python3-neutron", "mariadb-server"}

// cellURL has Nova read a cell's address from its configuration, so that the database holds no password.
const cellURL = "{scheme}://{username}:{password}@{hostname}:{port}/"

// makeSchemas makes the databases, with their tables. The first time on a machine that takes minutes and is kept; another lab with
// the same packages takes what was kept.
func (l *Lab) makeSchemas(ctx context.Context) error {
	done := l.data("schemas-done")
	if _, err := os.Stat(done); err == nil {
		return nil
	}
	sql := fmt.Sprintf("CREATE USER IF NOT EXISTS 'openstack'@'%%' IDENTIFIED BY '%s';\n", l.secrets.Database)
	for _, d := range databases {
		// Begun anew, if an earlier Up was interrupted here.
		sql += fmt.Sprintf("DROP DATABASE IF EXISTS %s; CREATE DATABASE %[1]s CHARACTER SET utf8; GRANT ALL ON %[1]s.* TO 'openstack'@'%%';\n", d)
	}
	if err := l.query(ctx, sql); err != nil {
		return fmt.Errorf("making the databases: %w", err)
	}
	snapshot, err := l.snapshotFile(ctx)
	if err != nil {
		return err
	}
	switch err := l.restoreSchemas(ctx, snapshot); {
	case err == nil:
		l.say("schemas are restored from %s", snapshot)
	case errors.Is(err, fs.ErrNotExist):
		if err := l.syncSchemas(ctx); err != nil {
			return err
		}
		if err := l.keepSchemas(ctx, snapshot); err != nil {
			return fmt.Errorf("keeping the schemas for the next time: %w", err)
		}
		l.say("schemas are made, and kept in %s", snapshot)
	default:
		return fmt.Errorf("restoring the schemas from %s: %w; remove that file to have them made anew", snapshot, err)
	}
	if err := l.bootstrapKeystone(ctx); err != nil {
		return err
	}
	l.say("Keystone has its keys and its administrator")
	return os.WriteFile(done, nil, 0o600)
}

func (l *Lab) snapshotFile(ctx context.Context) (string, error) {
	of, err := versions(ctx, schemaPackages...)
	if err != nil {
		return "", err
	}
	return filepath.Join(l.Cache, fmt.Sprintf("schemas-%x.sql.gz", sha256.Sum256([]byte(of)))[:len("schemas-")+12]+".sql.gz"), nil
}

func (l *Lab) restoreSchemas(ctx context.Context, snapshot string) error {
	f, err := os.Open(snapshot)
	if err != nil {
		return err
	}
	defer f.Close()
	unzipped, err := gzip.NewReader(f)
	if err != nil {
		return err
	}
	sql, err := io.ReadAll(unzipped)
	if err != nil {
		return err
	}
	return l.query(ctx, string(sql))
}

// syncSchemas has each service make its tables. Two at a time: that is how many cores the smallest machine has.
func (l *Lab) syncSchemas(ctx context.Context) error {
	sync := func(name string, programs ...[]string) func() error {
		return func() error {
			for _, p := range programs {
				cmd := l.tool(ctx, p[0], p[1:]...)
				cmd.Env = l.environment("OS_PLACEMENT_CONFIG_DIR="+l.etc("placement"), "PYTHONPATH="+l.data("python"))
				if err := l.logged(cmd, "schema-"+name); err != nil {
					return fmt.Errorf("making the tables of %s: %w", name, err)
				}
			}
			l.say("tables of %s are made", name)
			return nil
		}
	}
	novaConf := []string{"nova-manage", "--config-file", l.etc("nova.conf")}
	nova := func(args ...string) []string { return append(append([]string(nil), novaConf...), args...) }
	g := errgroup.Group{}
	g.SetLimit(2)
	g.Go(sync("Nova", nova("api_db", "sync"),
		nova("cell_v2", "map_cell0", "--database_connection", cellURL+"nova_cell0?charset=utf8"),
		nova("cell_v2", "create_cell", "--name", "cell1", "--database_connection", cellURL+"nova?charset=utf8", "--transport-url", cellURL),
		nova("db", "sync")))
	g.Go(sync("Neutron", []string{"neutron-db-manage", "--config-file", l.etc("neutron.conf"), "--config-file", l.etc("ml2.ini"), "upgrade", "heads"}))
	g.Go(sync("Keystone", []string{"keystone-manage", "--config-file", l.etc("keystone.conf"), "db_sync"}))
	g.Go(sync("Glance", []string{"glance-manage", "--config-file", l.etc("glance-api.conf"), "db_sync"}))
	g.Go(sync("Placement", []string{"placement-manage", "--config-file", l.etc("placement", "placement.conf"), "db", "sync"}))
	return g.Wait()
}

func (l *Lab) keepSchemas(ctx context.Context, snapshot string) error {
	dump, err := l.tool(ctx, "mariadb-dump", append([]string{"--no-defaults", "--socket=" + l.run("mariadb.sock"), "--user=root", "--databases"},
		databases...)...).Output()
	if err != nil {
		return err
	}
	if strings.Contains(string(dump), l.secrets.Database) || strings.Contains(string(dump), l.secrets.Messages) {
		return errors.New("the dump has a password of this lab in it")
	}
	// Renamed when it is whole.
	f, err := os.CreateTemp(l.Cache, "schemas-*.new")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	defer f.Close()
	zipped := gzip.NewWriter(f)
	if _, err := zipped.Write(dump); err != nil {
		return err
	}
	if err := errors.Join(zipped.Close(), f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), snapshot)
}
