"""The science of ringwatch: arrays in, values out."""
