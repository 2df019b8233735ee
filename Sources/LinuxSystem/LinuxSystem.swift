// The first file of LinuxSystem.
