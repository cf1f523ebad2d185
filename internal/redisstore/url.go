package redisstore

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/redis/rueidis"
)

// sentinelRefresh is how often the sentinels are asked who is the primary,
// beside listening to what they say.
const sentinelRefresh = 2 * time.Second

var errSpecial = errors.New("the Redis URL cannot be read; write special characters in user name and password as %XX")

// parseURL reads the forms that docs/redis.md lists:
//
//	redis://[user:password@]host[:port][/database]
//	redis+sentinel://[user:password@]host[:port][,host[:port]…]/name[/database][?sentinel_user=…&sentinel_password=…]
//	redis+cluster://[user:password@]host[:port][,host[:port]…]
//
// and the same with rediss for TLS. No error shows the URL, which may carry a
// password.
func parseURL(text string) (rueidis.ClientOption, error) {
	var option rueidis.ClientOption
	scheme, rest, ok := strings.Cut(text, "://")
	if !ok {
		return option, errors.New("the Redis URL does not begin with redis:// or rediss://")
	}
	base, form, _ := strings.Cut(scheme, "+")
	if base != "redis" && base != "rediss" || form != "" && form != "sentinel" && form != "cluster" || strings.HasSuffix(scheme, "+") {
		return option, fmt.Errorf("the Redis URL begins with %q; it can be redis, rediss (for TLS), or one of these with +sentinel or +cluster", scheme)
	}
	u, hosts, err := splitHosts(base, rest)
	if err != nil {
		return option, err
	}
	if u.User != nil {
		option.Username = u.User.Username()
		option.Password, _ = u.User.Password()
	}
	if option.InitAddress, err = addresses(hosts, form); err != nil {
		return option, err
	}
	if err := readPath(&option, u.Path, form); err != nil {
		return option, err
	}
	insecure, err := readQuery(&option, u.Query(), base, form)
	if err != nil {
		return option, err
	}
	if base == "rediss" {
		option.TLSConfig = &tls.Config{MinVersion: tls.VersionTLS12, InsecureSkipVerify: insecure}
		if form == "" {
			option.TLSConfig.ServerName, _, _ = net.SplitHostPort(option.InitAddress[0])
		}
		option.Sentinel.TLSConfig = option.TLSConfig
	}
	option.ForceSingleClient = form == ""
	return option, nil
}

// splitHosts parses what stands behind the scheme. It gives the hosts by
// themselves, and puts another into their place: net/url does not know several.
func splitHosts(base, rest string) (u *url.URL, hosts string, err error) {
	authority := rest
	if i := strings.IndexAny(rest, "/?#"); i >= 0 {
		authority = rest[:i]
	}
	rest = rest[len(authority):]
	if strings.Contains(rest, "@") {
		// The authority ended within a password, and what follows would show the rest.
		return nil, "", errSpecial
	}
	begin := strings.LastIndex(authority, "@") + 1
	u, err = url.Parse(base + "://" + authority[:begin] + "host" + rest)
	if err != nil {
		return nil, "", errSpecial
	}
	return u, authority[begin:], nil
}

// addresses gives host:port for each of the hosts, which commas separate.
func addresses(hosts, form string) ([]string, error) {
	defaultPort := "6379"
	if form == "sentinel" {
		defaultPort = "26379"
	}
	var all []string
	for host := range strings.SplitSeq(hosts, ",") {
		address, err := hostPort(host, defaultPort)
		if err != nil {
			return nil, err
		}
		all = append(all, address)
	}
	if form == "" && len(all) > 1 {
		return nil, errors.New("the Redis URL names several hosts: say redis+sentinel:// or redis+cluster://")
	}
	return all, nil
}

// readPath reads /database, and before that the name that sentinels know.
func readPath(option *rueidis.ClientOption, text, form string) (err error) {
	path := strings.Split(strings.Trim(text, "/"), "/")
	if form == "sentinel" {
		if option.Sentinel.MasterSet, path = path[0], path[1:]; option.Sentinel.MasterSet == "" {
			return errors.New("the Redis URL does not say the name under which the sentinels know the primary: redis+sentinel://host/name")
		}
		// A demoted primary closes no connection.
		option.Sentinel.TopologyRefreshInterval = sentinelRefresh
	}
	if len(path) > 1 {
		return fmt.Errorf("the path of the Redis URL has a part too many: %q", path[len(path)-1])
	}
	if len(path) == 0 || path[0] == "" {
		return nil
	}
	if option.SelectDB, err = strconv.Atoi(path[0]); err != nil || option.SelectDB < 0 {
		return fmt.Errorf("the database in the Redis URL is not a number: %q", path[0])
	}
	if form == "cluster" && option.SelectDB != 0 {
		return errors.New("a Redis Cluster has no database but 0")
	}
	return nil
}

// readQuery reads what stands behind the question mark. Insecure says not to
// look at the certificate of the server.
func readQuery(option *rueidis.ClientOption, query url.Values, base, form string) (insecure bool, err error) {
	for name, values := range query {
		value := values[len(values)-1]
		switch {
		case name == "sentinel_user" && form == "sentinel":
			option.Sentinel.Username = value
		case name == "sentinel_password" && form == "sentinel":
			option.Sentinel.Password = value
		case name == "skip_verify" && base == "rediss":
			if insecure, err = strconv.ParseBool(value); err != nil {
				return false, errors.New("skip_verify in the Redis URL must be true or false")
			}
		default:
			return false, fmt.Errorf("the Redis URL has a setting that is not known here: %q", name)
		}
	}
	return insecure, nil
}

// hostPort fills in what is missing of host:port.
func hostPort(text, defaultPort string) (string, error) {
	host, port := strings.Trim(text, "[]"), defaultPort
	if i := strings.LastIndex(text, ":"); i >= 0 && !strings.HasSuffix(text, "]") {
		var err error
		if host, port, err = net.SplitHostPort(text); err != nil {
			return "", fmt.Errorf("the Redis URL has a host that cannot be read: %q", text)
		}
	}
	if host == "" {
		host = "localhost"
	}
	if n, err := strconv.Atoi(port); err != nil || n < 1 || n > 65535 {
		return "", fmt.Errorf("the Redis URL has a port that is none: %q", text)
	}
	return net.JoinHostPort(host, port), nil
}
