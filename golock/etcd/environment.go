package etcd

import "strings"

// Environment returns the connection that etcdctl's environment variables name, which lookup finds,
// as [os.LookupEnv] does.
func Environment(lookup func(string) (string, bool)) Connection {
	get := func(variable string) string {
		value, _ := lookup(variable)
		return value
	}
	c := Connection{
		Endpoints:          SplitEndpoints(get("ETCDCTL_ENDPOINTS")),
		CA:                 get("ETCDCTL_CACERT"),
		Certificate:        get("ETCDCTL_CERT"),
		Key:                get("ETCDCTL_KEY"),
		User:               get("ETCDCTL_USER"),
		Password:           get("ETCDCTL_PASSWORD"),
		InsecureSkipVerify: get("ETCDCTL_INSECURE_SKIP_TLS_VERIFY") == "true",
	}
	if len(c.Endpoints) == 0 {
		c.Endpoints = []string{defaultEndpoint}
	}
	return c
}

const defaultEndpoint = "127.0.0.1:2379"

// SplitEndpoints returns the endpoints of a list that is separated by commas.
func SplitEndpoints(list string) (endpoints []string) {
	for each := range strings.SplitSeq(list, ",") {
		if each = strings.TrimSpace(each); each != "" {
			endpoints = append(endpoints, each)
		}
	}
	return endpoints
}
