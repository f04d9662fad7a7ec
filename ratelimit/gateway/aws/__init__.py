"""AWS templates (SAM, CloudFormation, OpenAPI) as configurations of the gateway."""
