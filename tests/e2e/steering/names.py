"""Names that the tests of this folder share."""

NAMESPACE, TEAM, RELEASE = "mimo-steering", "mimo-team", "steering"
