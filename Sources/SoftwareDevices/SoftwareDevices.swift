// The first file of SoftwareDevices.
