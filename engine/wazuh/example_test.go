package wazuh_test

import (
	"fmt"
	"strings"

	"custom-misp/engine/wazuh"
)

// The arguments that integratord of Wazuh 4.8 and later passes.
func ExampleParseCall() {
	call := wazuh.ParseCall([]string{
		"/tmp/custom-misp-1791187801-118.alert", "", "https://misp.example.org", "", "", "10", "3", "> /dev/null 2>&1",
	})
	fmt.Println(call.AlertFile)
	fmt.Println(call.HookURL)
	fmt.Println(call.Timeout, call.Retries)
	// Output:
	// /tmp/custom-misp-1791187801-118.alert
	// https://misp.example.org
	// 10s 3
}

// A line that is broken does not stop the reading.
func ExampleEachText() {
	alerts := strings.NewReader("{\"id\":\"1767571200.1\"}\n{\"id\":\n{\"id\":\"1767571200.2\"}\n")
	err := wazuh.EachText("alerts.json", alerts, func(at wazuh.Position, text []byte, err error) error {
		if err != nil {
			fmt.Println(at, err)
			return nil
		}
		fmt.Printf("%s %s\n", at, text)
		return nil
	})
	fmt.Println(err)
	// Output:
	// alerts.json:1 {"id":"1767571200.1"}
	// alerts.json:2 {"id":
	// alerts.json:3 {"id":"1767571200.2"}
	// <nil>
}
