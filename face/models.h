// The models this program knows, by the SHA-256 of their files: what they are, how pictures are prepared for them, and which
// likeness counts as the same person.  A file that is not listed is never loaded.
#pragma once

#include <string>
#include <vector>

enum class Kind { Detector, Recogniser };
enum class Prepare { None, ImageNet, Raw }; // RGB / 255 with ImageNet's mean and deviation; RGB 0 to 255

struct KnownModel {
	const char *sha256;
	Kind kind;
	Prepare prepare;
	float accept, review; // cosine; of a recogniser
	const char *name;
};

struct FoundModel {
	const KnownModel *model;
	std::string path;
};

// Of the plain files in that directory, those that are known, in the order of the table.
std::vector<FoundModel> find_models(const std::string &directory);
