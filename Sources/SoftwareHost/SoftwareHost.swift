// The first file of SoftwareHost.
