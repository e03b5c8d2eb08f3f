package cloud

import (
	"bytes"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"regexp"
	"strconv"

	"github.com/gophercloud/gophercloud/v2"
	"github.com/gophercloud/gophercloud/v2/openstack/config/clouds"
)

// Load reads the credentials as every OpenStack tool does: the named cloud of clouds.yaml and secure.yaml, where the name is
// OS_CLOUD if it is empty; without either, the OS_* variables. An error names what is missing and repeats no value.
func Load(name string) (Config, error) {
	if name == "" {
		name = os.Getenv("OS_CLOUD")
	}
	if name != "" {
		c, err := fromFile(name)
		if err != nil {
			return Config{}, fmt.Errorf("reading cloud %q of clouds.yaml: %w", name, err)
		}
		return c, nil
	}
	if os.Getenv("OS_AUTH_URL") == "" {
		return Config{}, errors.New("no cloud is named: set OS_CLOUD to one of clouds.yaml, or OS_AUTH_URL with OS_USERNAME, " +
			"OS_PASSWORD, OS_USER_DOMAIN_NAME, OS_PROJECT_NAME and OS_PROJECT_DOMAIN_NAME")
	}
	c, err := fromEnvironment()
	if err != nil {
		return Config{}, fmt.Errorf("reading the OS_ variables: %w", err)
	}
	return c, nil
}

// LoadFile reads the named cloud of a clouds.yaml at a path. Without a path it is Load.
func LoadFile(path, name string) (Config, error) {
	if path == "" {
		return Load(name)
	}
	c, err := fromFile(name, clouds.WithLocations(path))
	if err != nil {
		return Config{}, fmt.Errorf("reading cloud %q of %s: %w", name, path, err)
	}
	return c, nil
}

func fromFile(name string, options ...clouds.ParseOption) (Config, error) {
	return parse(fieldNames{
		url: "auth.auth_url", user: "auth.username (or user_id)", password: "auth.password",
		domain: "auth.user_domain_name (or user_domain_id)", project: "auth.project_name (or project_id)",
		projectDomain: "auth.project_domain_name (or project_domain_id)", secret: "auth.application_credential_secret",
	}, append(options, clouds.WithCloudName(name))...)
}

// fromEnvironment writes the variables into a clouds.yaml in memory. gophercloud has a reader of the variables, but that one
// does not know that user and project may be of different domains, nor the TLS variables.
func fromEnvironment() (Config, error) {
	const name = "environment"
	first := func(variables ...string) string {
		for _, v := range variables {
			if value := os.Getenv(v); value != "" {
				return value
			}
		}
		return ""
	}
	cloud := clouds.Cloud{
		AuthInfo: &clouds.AuthInfo{
			AuthURL:                     first("OS_AUTH_URL"),
			Token:                       first("OS_TOKEN", "OS_AUTH_TOKEN"),
			Username:                    first("OS_USERNAME"),
			UserID:                      first("OS_USER_ID", "OS_USERID"),
			Password:                    first("OS_PASSWORD"),
			ApplicationCredentialID:     first("OS_APPLICATION_CREDENTIAL_ID"),
			ApplicationCredentialName:   first("OS_APPLICATION_CREDENTIAL_NAME"),
			ApplicationCredentialSecret: first("OS_APPLICATION_CREDENTIAL_SECRET"),
			SystemScope:                 first("OS_SYSTEM_SCOPE"),
			TrustID:                     first("OS_TRUST_ID"),
			ProjectID:                   first("OS_PROJECT_ID", "OS_TENANT_ID"),
			ProjectName:                 first("OS_PROJECT_NAME", "OS_TENANT_NAME"),
			UserDomainID:                first("OS_USER_DOMAIN_ID"),
			UserDomainName:              first("OS_USER_DOMAIN_NAME"),
			ProjectDomainID:             first("OS_PROJECT_DOMAIN_ID"),
			ProjectDomainName:           first("OS_PROJECT_DOMAIN_NAME"),
			DomainID:                    first("OS_DOMAIN_ID", "OS_DEFAULT_DOMAIN_ID"),
			DomainName:                  first("OS_DOMAIN_NAME", "OS_DEFAULT_DOMAIN_NAME"),
		},
		EndpointType: first("OS_ENDPOINT_TYPE"),
	}
	// JSON is YAML, and its marshaller quotes whatever a password may hold.
	text, err := json.Marshal(clouds.Clouds{Clouds: map[string]clouds.Cloud{name: cloud}})
	if err != nil {
		return Config{}, errors.New("they cannot be written as YAML")
	}
	options := []clouds.ParseOption{clouds.WithCloudName(name), clouds.WithCloudsYAML(bytes.NewReader(text))}
	if value := first("OS_INSECURE"); value != "" {
		insecure, err := strconv.ParseBool(value)
		if err != nil {
			return Config{}, errors.New("OS_INSECURE is neither true nor false")
		}
		options = append(options, clouds.WithInsecure(insecure))
	}
	return parse(fieldNames{
		url: "OS_AUTH_URL", user: "OS_USERNAME (or OS_USER_ID)", password: "OS_PASSWORD",
		domain: "OS_USER_DOMAIN_NAME (or OS_USER_DOMAIN_ID)", project: "OS_PROJECT_NAME (or OS_PROJECT_ID)",
		projectDomain: "OS_PROJECT_DOMAIN_NAME (or OS_PROJECT_DOMAIN_ID)", secret: "OS_APPLICATION_CREDENTIAL_SECRET",
	}, options...)
}

func parse(names fieldNames, options ...clouds.ParseOption) (Config, error) {
	auth, endpoint, tlsConfig, err := parseClouds(options)
	if err != nil {
		return Config{}, err
	}
	if auth.TenantID != "" {
		auth.TenantName = "" // only Scope counts; the pair would be refused
	}
	c, err := newConfig(auth, names)
	if err != nil {
		return Config{}, err
	}
	c.Region, c.Interface = endpoint.Region, endpoint.Availability
	c.Transport.TLSClientConfig = tlsConfig
	return c, nil
}

// parseClouds also makes errors of what gophercloud's parser panics at, a cloud without an auth section, and hides the values
// that YAML errors quote: with a line's indentation wrong they are passwords.
func parseClouds(options []clouds.ParseOption) (
	_ gophercloud.AuthOptions, _ gophercloud.EndpointOpts, _ *tls.Config, err error,
) {
	defer func() {
		if recover() != nil {
			err = errors.New("it has no auth section")
		} else if err != nil {
			err = errors.New(quoted.ReplaceAllString(err.Error(), "a value"))
		}
	}()
	return clouds.Parse(options...)
}

var quoted = regexp.MustCompile("`[^`]*`")
